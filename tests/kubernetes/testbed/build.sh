#!/usr/bin/env bash
# Builds the four programs of Kubernetes that Debian has as source only, and the images of the tests, into the cache
# folder. Once for each machine: about 5 minutes.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=tests/kubernetes/testbed/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"

source_name=kubernetes_1.20.5+really1.20.2
src=$base/src
workspace=$base/gopath/src/k8s.io
export GOPATH=$base/gopath GOCACHE=$base/gocache GO111MODULE=off GOPROXY=off CGO_ENABLED=0 GOFLAGS=-p=${RDEV_JOBS:-$(nproc)}

install_packages() {
  local missing=() name
  for name in "${packages[@]}"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
  done
  command -v kubectl >/dev/null || missing+=(kubernetes-client)
  if apt-cache showsrc kubernetes 2>/dev/null | grep -q '^Package: kubernetes$'; then
    ((${#missing[@]})) || return 0
  else
    sed 's/^Types: deb$/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >/etc/apt/sources.list.d/rdev-testbed.sources
    apt-get update >"$logs/apt.log" 2>&1 || true
  fi
  ((${#missing[@]})) || return 0
  say "installs ${missing[*]}"
  # No service of these packages is to start: the testbed starts its own.
  local rule=/usr/sbin/policy-rc.d made=
  [[ -e $rule ]] || { printf '#!/bin/sh\nexit 101\n' >"$rule"; chmod 755 "$rule"; made=$rule; }
  DEBIAN_FRONTEND=noninteractive flock /var/lib/apt/lists apt-get install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=600 "${missing[@]}" >"$logs/apt.log" 2>&1 </dev/null || { cat "$logs/apt.log" >&2; exit 1; }
  [[ -z $made ]] || rm -f "$made"
}

fetch_source() {
  local vendored=$src/vendor/github.com/modern-go/reflect2
  [[ -d $src ]] || {
    say "fetches the source of Kubernetes $version"
    (cd "$base" && apt-get source --download-only kubernetes >"$logs/source.log" 2>&1 &&
      dpkg-source --no-check -x "$source_name"-*.dsc source.new >>"$logs/source.log" 2>&1) || { cat "$logs/source.log" >&2; exit 1; }
    mv "$base/source.new" "$src"
  }
  # The vendored reflect2 1.0.1 calls into the runtime of Go with a signature that Go 1.18 changed, and corrupts memory.
  [[ -f $vendored/go_above_118.go ]] || {
    rm -f "$vendored"/*.go "$vendored"/*.s
    cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$vendored/"
  }
  mkdir -p "$workspace"
  ln -sfn "$src" "$workspace/kubernetes"
}

build_program() { # NAME PACKAGE; in GOPATH mode, as upstream's own build of that time does it
  local name=$1 package=$2 flags="-s -w" room
  for room in k8s.io/kubernetes/vendor/k8s.io/component-base/version k8s.io/kubernetes/vendor/k8s.io/client-go/pkg/version; do
    flags+=" -X $room.gitVersion=v$version -X $room.gitMajor=1 -X $room.gitMinor=20 -X $room.gitTreeState=archive"
  done
  [[ -x $bin/$name ]] && return
  say "builds $name"
  (cd "$workspace/kubernetes" && PWD=$workspace/kubernetes nice go build -trimpath -tags providerless,dockerless \
    -ldflags "$flags" -o "$bin/$name.new" "$package") >"$logs/build-$name.log" 2>&1 || { cat "$logs/build-$name.log" >&2; exit 1; }
  mv "$bin/$name.new" "$bin/$name"
}

# Definitions that kube-apiserver is compiled with and that the source package leaves out.
generate_openapi() {
  local out=$src/pkg/generated/openapi/zz_generated.openapi.go tagged
  [[ -f $out ]] && return
  build_program openapi-gen k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
  say "generates the OpenAPI definitions"
  # vendor/k8s.io/* are links into staging: looked through one by one, so that packages keep the names of vendor.
  tagged=$(cd "$src" && {
    grep -rlE --include='*.go' '^// *\+k8s:openapi-gen=' pkg cmd plugin 2>/dev/null || true
    for room in vendor/k8s.io/*; do
      [[ $room == */code-generator || $room == */*sample-* ]] && continue
      (cd "$room/" && grep -rlE --include='*.go' '^// *\+k8s:openapi-gen=' . | sed "s|^\.|$room|") || true
    done
  } | grep -vE '/testdata|/kube-openapi/(test|cmd|pkg)' | xargs -n1 dirname | LC_ALL=C sort -u | sed 's|^|k8s.io/kubernetes/|' | paste -sd,)
  # The generator was built with -trimpath: it asks for the folder of Go.
  (cd "$workspace/kubernetes" && PWD=$workspace/kubernetes GOROOT=$(go env GOROOT) nice "$bin/openapi-gen" --logtostderr \
    -i "$tagged" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
    -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$logs/openapi.report") >"$logs/openapi.log" 2>&1 ||
    { cat "$logs/openapi.log" >&2; exit 1; }
}

exec 9>"$base/build.lock"
flock 9
install_packages
if [[ ! -f $base/built ]]; then
  fetch_source
  generate_openapi
  for program in "${programs[@]}"; do build_program "$program" "k8s.io/kubernetes/cmd/$program"; done
  touch "$base/built"
fi
# shellcheck source=tests/kubernetes/testbed/images.sh
source "$here/images.sh"
[[ $images/pause.tar -nt $here/images.sh ]] || make_images
rm -rf "$base/gocache" # a gigabyte that nobody needs again
