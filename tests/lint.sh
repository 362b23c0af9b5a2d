#!/usr/bin/env bash
# The checks of `./dev lint`, which sources this file (so `root`, `cache`, `jobs`, `say` and `configure` are there).

sources() {
  git -c safe.directory="$root" ls-files -co --exclude-standard -- "$@" | while read -r file; do
    if [[ -f $file ]]; then echo "$file"; fi
  done
}

# Each .cpp with all of our own files that it includes, directly or not: what its verdict depends on.
include_closures() {
  sources '*.cpp' '*.hpp' | xargs awk '
    function visit(file,    list, n, i) {
      if (seen[file]) return
      seen[file] = 1
      reach = reach " " file
      n = split(inc[file], list, " ")
      for (i = 1; i <= n; i++) if (list[i] in own) visit(list[i])
    }
    FNR == 1 { own[FILENAME] = 1 }
    /^#include "/ { split($0, q, "\""); inc[FILENAME] = inc[FILENAME] " " q[2] }
    END { for (file in own) if (file ~ /\.cpp$/) { reach = ""; split("", seen); visit(file); print substr(reach, 2) } }'
}

tidy_one() { # KEY FILE
  local out
  if out=$(clang-tidy --quiet -p .cache/tidy-database "$2" 2>/dev/null); then
    touch ".cache/tidy/$1"
  else
    printf '%s\n' "$out"
    return 1
  fi
}
export -f tidy_one

# The compiler's commands without its precompiled headers, which only g++ can read; the headers themselves stay.
make_tidy_database() {
  local database=$cache/tidy-database header copy commands
  mkdir -p "$database"
  commands=$(<build/compile_commands.json)
  for header in build/tests/*/CMakeFiles/*.dir/cmake_pch.hxx; do
    copy=$database/${header//\//_}
    cp "$header" "$copy"
    commands=${commands//"$root/$header"/"$copy"}
  done
  printf '%s\n' "${commands//-Winvalid-pch/}" >"$database/compile_commands.json"
}

# A verdict that was good is kept under a hash of all that it depends on.
check_code() {
  local salt file files key todo=()
  configure release
  ninja -C build --quiet build.ninja >/dev/null # files may have come since it was configured
  make_tidy_database
  mkdir -p "$cache/tidy"
  salt=$(clang-tidy --version | cat - .clang-tidy CMakeLists.txt | sha256sum)
  while read -r -a files; do
    file=${files[0]}
    if ! grep -qF "\"file\": \"$root/$file\"" build/compile_commands.json; then
      say "dev: $file is not built, so not checked"
      continue
    fi
    key=$( (echo "$salt"; sha256sum "${files[@]}") | sha256sum | cut -c1-32)
    if [[ -e $cache/tidy/$key ]]; then touch "$cache/tidy/$key"; else todo+=("$key" "$file"); fi
  done < <(include_closures | sort)
  find "$cache/tidy" -type f -mtime +30 -delete
  ((${#todo[@]})) || return 0
  say "dev: clang-tidy looks at $((${#todo[@]} / 2)) new or changed files"
  # shellcheck disable=SC2016
  printf '%s\n' "${todo[@]}" | xargs -P "$jobs" -n 2 bash -c 'tidy_one "$@"' tidy
}

check_format() {
  sources '*.cpp' '*.hpp' | xargs clang-format --dry-run -Werror
}

check_scripts() {
  local script shell bad=0
  while read -r script; do
    shell=sh
    [[ $(head -n 1 "$script") == *bash ]] && shell=bash
    "$shell" -n "$script" || bad=1
  done < <(printf '%s\n' dev .ci/run deploy/hooks/* && sources '*.sh')
  return "$bad"
}
