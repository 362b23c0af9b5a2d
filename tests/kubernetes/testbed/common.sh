#!/usr/bin/env bash
# What the scripts of the testbed share; sourced by them. One testbed a machine, in the user's cache folder.

here=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd)
base=${RDEV_TESTBED_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/rdev-testbed}
bin=$base/bin
images=$base/images
pki=$base/pki
state=$base/state # of the cluster that runs; gone after `down`
logs=$base/logs
version=1.20.2
node=127.0.0.1 # a node name that is an address is taken for its InternalIP
namespace=rdev-projects
api_port=16443
etcd_port=12379
programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet)
# Kubernetes has no build of its own that a test could install: its source, and what it is built and run with.
packages=(dpkg-dev golang-go golang-github-modern-go-reflect2-dev libc6-dev gcc etcd-server containerd runc
  containernetworking-plugins busybox-static bash dash git iptables conntrack iproute2 openssl curl)

say() { printf 'testbed: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

mkdir -p "$base" "$bin" "$images" "$logs"
