#!/usr/bin/env bash
# Images for the tests, made of what is installed here; sourced by build.sh. No registry is reachable, nor needed.

image() { # NAME ROOT CONFIG: a docker-archive of one layer
  local name=$1 root=$2 config=$3 work layer
  work=$(mktemp -d)
  mkdir -p "$work/out"
  tar -C "$root" --owner=0 --group=0 --numeric-owner --sort=name --mtime=@0 -cf "$work/layer.tar" .
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  mkdir "$work/out/$layer"
  mv "$work/layer.tar" "$work/out/$layer/layer.tar"
  printf '{"architecture":"amd64","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"1970-01-01T00:00:00Z"}]}' \
    "$config" "$layer" >"$work/out/config.json"
  printf '[{"Config":"config.json","RepoTags":["localhost/%s:1"],"Layers":["%s/layer.tar"]}]' "$name" "$layer" >"$work/out/manifest.json"
  tar -C "$work/out" -cf "$images/$name.tar" .
  rm -rf "$work"
}

users() { # ROOT
  printf 'root:x:0:0:root:/root:/bin/sh\nrdev:x:1000:1000:rdev:/workspace:/bin/sh\n' >"$1/etc/passwd"
  printf 'root:x:0:\nrdev:x:1000:\n' >"$1/etc/group"
}

busybox_root() { # ROOT
  local applet
  mkdir -p "$1"/{bin,etc,proc,sys,dev,root,var,home,workspace}
  mkdir -m 1777 "$1/tmp"
  cp /bin/busybox "$1/bin/busybox"
  for applet in $(/bin/busybox --list); do [[ -e $1/bin/$applet ]] || ln -s busybox "$1/bin/$applet"; done
  users "$1"
}

# PROGRAM... with the libraries that they are linked with
copy_programs() { # ROOT PROGRAM...
  local root=$1 file
  shift
  for file in "$@" $(ldd "$@" | grep -o '/[^ ]*' | grep -v ':$' | sort -u); do
    mkdir -p "$root/$(dirname "$file")"
    cp -L "$file" "$root/$file"
  done
}

make_images() {
  local work
  work=$(mktemp -d)
  say "makes the images"
  mkdir "$work/pause" "$work/busybox" "$work/tools"
  gcc -Os -static -s -DVERSION=testbed -o "$work/pause/pause" "$src/build/pause/linux/pause.c"
  busybox_root "$work/busybox"
  image busybox "$work/busybox" '{"Env":["PATH=/bin"],"Cmd":["sh"],"WorkingDir":"/"}'
  # A project of people: other shells than busybox's, and git.
  busybox_root "$work/tools"
  copy_programs "$work/tools" /usr/bin/bash /usr/bin/dash /usr/bin/git
  ln -s git "$work/tools/usr/bin/git-upload-pack"
  # What `repository` of a project can be filled from without a network.
  mkdir -p "$work/tools/usr/lib/git-core" "$work/tools/srv" "$work/repository"
  git -C "$work/repository" init -q -b main
  echo 'of a repository' >"$work/repository/README"
  git -C "$work/repository" add README
  git -C "$work/repository" -c user.name=testbed -c user.email=testbed@localhost commit -qm 'the first'
  git clone -q --bare "$work/repository" "$work/tools/srv/repository.git"
  chmod -R a+rX "$work/tools/srv"
  printf '[safe]\n\tdirectory = *\n' >"$work/tools/etc/gitconfig" # it belongs to root there
  image tools "$work/tools" '{"Env":["PATH=/usr/local/bin:/usr/bin:/bin"],"Cmd":["sh"],"WorkingDir":"/"}'
  image pause "$work/pause" '{"Entrypoint":["/pause"],"User":"65535:65535"}' # last: its presence says that all are made
  rm -rf "$work"
}
