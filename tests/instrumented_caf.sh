#!/usr/bin/env bash
# CAF with ThreadSanitizer in it, from Debian's source of the installed version, for `./dev test --tsan`: without it the
# locks and counters of CAF are invisible to the sanitizer, and all that goes from actor to actor looks like a race.
# ./dev sources this file (so `jobs`, `cache` and `say` are there).

fetch_caf_source() { # FOLDER
  local folder=$1 file options
  mkdir -p "$folder"/{parts,lists/partial,cache/archives/partial}
  for file in /etc/apt/sources.list.d/*.sources; do
    sed 's/^Types: .*/Types: deb-src/' "$file" >"$folder/parts/${file##*/}"
  done
  if [[ -s /etc/apt/sources.list ]]; then sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$folder/parts/main.list"; fi
  options=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$folder/parts"
    -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache")
  {
    apt-get "${options[@]}" update
    # Only the upstream archive counts: Debian changes nothing in it that is compiled.
    (cd "$folder" && apt-get "${options[@]}" source --download-only --tar-only libcaf-core0.17)
    tar xf "$folder"/*.orig.tar.* -C "$folder" --strip-components=1
  } >"$folder/log" 2>&1 || { cat "$folder/log" >&2; return 1; }
}

compile_caf() { # SOURCE OBJECT
  ccache g++ -std=c++17 -O1 -g1 -w -fno-omit-frame-pointer -fsanitize=thread -fPIC -pthread -Ilibcaf_core \
    -c "$1" -o "$2"
}
export -f compile_caf

build_instrumented_caf() { # FOLDER for libcaf_core.so
  local target=$1 source name
  name=$(basename "$(readlink -f /usr/lib/*-linux-gnu/libcaf_core.so)")
  [[ -e $target/$name ]] && return
  say "dev: builds $name with ThreadSanitizer (some minutes, once)"
  source=$cache/caf-source
  [[ -d $source/libcaf_core ]] || fetch_caf_source "$source"
  mkdir -p "$target/objects"
  (
    cd "$source"
    find libcaf_core/src -name '*.cpp' -printf '%p %P\n' | while read -r path short; do
      printf '%s\n' "$path" "$target/objects/${short//\//_}.o"
    done | xargs -P "$jobs" -n 2 bash -c 'compile_caf "$@"' compile
  )
  g++ -shared -fsanitize=thread -Wl,-soname,"$name" -o "$target/$name.new" "$target"/objects/*.o -pthread
  mv "$target/$name.new" "$target/$name"
}
