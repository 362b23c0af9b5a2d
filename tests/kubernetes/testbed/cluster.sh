#!/usr/bin/env bash
# The cluster of the testbed: up, down, restart NAME, stop NAME, start NAME, status. Everything listens on 127.0.0.1.
# After `up`, $base/pki/admin.kubeconfig is the administrator's.
set -euo pipefail
shopt -s inherit_errexit
# shellcheck source=tests/kubernetes/testbed/common.sh
source "$(dirname -- "${BASH_SOURCE[0]}")/common.sh"
# shellcheck source=tests/kubernetes/testbed/certificates.sh
source "$here/certificates.sh"

export KUBECONFIG=$pki/admin.kubeconfig
parts=(etcd kube-apiserver kube-controller-manager kube-scheduler containerd kubelet)

# ---- programs: each has a file with its pid and the moment of its start, so that nobody else's process is ended

started_at() { awk '{ sub(/.*\) /, ""); print $20 }' "/proc/$1/stat" 2>/dev/null; }

lives() { # NAME
  local pid at
  [[ -f $state/$1.pid ]] && read -r pid at <"$state/$1.pid" && [[ $(started_at "$pid") == "$at" ]]
}

launch() { # NAME COMMAND...
  local name=$1
  shift
  lives "$name" && return
  setsid "$@" >>"$logs/$name.log" 2>&1 </dev/null 9>&- &
  printf '%s %s\n' $! "$(started_at $!)" >"$state/$name.pid"
}

end() { # NAME
  local pid i
  lives "$1" || return 0
  read -r pid _ <"$state/$1.pid"
  kill -TERM "$pid"
  for ((i = 0; i < 150; ++i)); do lives "$1" || break; sleep 0.1; done
  lives "$1" && kill -KILL "$pid"
  rm -f "$state/$1.pid"
}

wait_for() { # WHAT COMMAND...
  local what=$1 i
  shift
  for ((i = 0; i < 450; ++i)); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
  die "$what did not come in time; see $logs"
}

# ---- settings of the programs

write_settings() {
  mkdir -p "$state/cni"
  # The bodies of all requests: a test looks into it for what must not be there.
  cat >"$state/audit.yaml" <<'YAML'
apiVersion: audit.k8s.io/v1
kind: Policy
rules: [{level: RequestResponse}]
YAML
  cat >"$state/cni/10-testbed.conflist" <<JSON
{"cniVersion": "0.4.0", "name": "testbed", "plugins": [{"type": "bridge", "bridge": "rdevtb0", "isGateway": true, "ipMasq": false,
 "ipam": {"type": "host-local", "dataDir": "$state/addresses", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
JSON
  cat >"$state/containerd.toml" <<TOML
version = 2
root = "$state/containerd"
state = "$state/containerd-run"
oom_score = 0
[grpc]
  address = "$state/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$state/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$state/cni"
TOML
  cat >"$state/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
port: 10250
readOnlyPort: 0
healthzBindAddress: 127.0.0.1
healthzPort: 10248
tlsCertFile: $pki/kubelet-server.crt
tlsPrivateKeyFile: $pki/kubelet-server.key
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
failSwapOn: false
makeIPTablesUtilChains: false
resolvConf: /etc/resolv.conf
clusterDomain: cluster.local
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}
serializeImagePulls: false
registryPullQPS: 0
eventRecordQPS: 0
nodeStatusUpdateFrequency: 1s
kubeAPIQPS: 100
kubeAPIBurst: 200
YAML
}

start_part() { # NAME
  local own=(--kube-api-qps=100 --kube-api-burst=200 --bind-address=127.0.0.1 --port=0 --leader-elect=false --profiling=false)
  case $1 in
  etcd)
    launch etcd etcd --name testbed --data-dir "$state/etcd" --logger zap --log-outputs stderr --unsafe-no-fsync \
      --listen-client-urls "http://127.0.0.1:$etcd_port" --advertise-client-urls "http://127.0.0.1:$etcd_port" \
      --listen-peer-urls http://127.0.0.1:12380 --initial-advertise-peer-urls http://127.0.0.1:12380 \
      --initial-cluster testbed=http://127.0.0.1:12380
    wait_for etcd curl -sf "http://127.0.0.1:$etcd_port/health"
    ;;
  kube-apiserver)
    launch kube-apiserver "$bin/kube-apiserver" --etcd-servers="http://127.0.0.1:$etcd_port" --bind-address=127.0.0.1 \
      --secure-port="$api_port" --insecure-port=0 --advertise-address=192.0.2.1 --endpoint-reconciler-type=none \
      --service-cluster-ip-range=10.96.0.0/24 --allow-privileged=true --anonymous-auth=false --profiling=false \
      --tls-cert-file="$pki/apiserver.crt" --tls-private-key-file="$pki/apiserver.key" --client-ca-file="$pki/ca.crt" \
      --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction \
      --service-account-issuer=https://kubernetes.default.svc --service-account-signing-key-file="$pki/service-accounts.key" \
      --service-account-key-file="$pki/service-accounts.pub" --kubelet-client-certificate="$pki/apiserver-kubelet.crt" \
      --kubelet-client-key="$pki/apiserver-kubelet.key" --kubelet-certificate-authority="$pki/ca.crt" \
      --kubelet-preferred-address-types=InternalIP --audit-policy-file="$state/audit.yaml" --audit-log-path="$logs/audit.log" --v=2
    wait_for "the API server" kubectl get --raw /readyz
    ;;
  kube-controller-manager)
    launch kube-controller-manager "$bin/kube-controller-manager" "${own[@]}" --kubeconfig="$pki/controller-manager.kubeconfig" \
      --secure-port=10257 --cert-dir="$state/controller-manager" --use-service-account-credentials \
      --service-account-private-key-file="$pki/service-accounts.key" --root-ca-file="$pki/ca.crt" \
      --controllers='*,-nodeipam,-cloud-node-lifecycle,-route,-service'
    ;;
  kube-scheduler)
    launch kube-scheduler "$bin/kube-scheduler" "${own[@]}" --kubeconfig="$pki/scheduler.kubeconfig" --secure-port=10259 \
      --cert-dir="$state/scheduler"
    ;;
  containerd)
    launch containerd containerd -c "$state/containerd.toml"
    wait_for containerd runtime version
    ;;
  kubelet)
    launch kubelet "$bin/kubelet" --config="$state/kubelet.yaml" --kubeconfig="$pki/kubelet.kubeconfig" --root-dir="$state/kubelet" \
      --cert-dir="$state/kubelet/pki" --hostname-override="$node" --container-runtime=remote \
      --container-runtime-endpoint="unix://$state/containerd.sock" --image-service-endpoint="unix://$state/containerd.sock" \
      --pod-infra-container-image=localhost/pause:1 --v=2
    wait_for "the node" node_is_ready
    ;;
  *) die "there is no part '$1': ${parts[*]}" ;;
  esac
}

runtime() { ctr -a "$state/containerd.sock" -n k8s.io "$@"; }
node_is_ready() {
  [[ $(kubectl get node "$node" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}') == True ]]
}

# ---- what kubelet and its plugins change on this machine is put back by `down`

sysctls=(vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys
  kernel/keys/root_maxbytes net/ipv4/ip_forward)

save_sysctls() {
  local key
  [[ -f $state/sysctls ]] && return
  for key in "${sysctls[@]}"; do [[ ! -e /proc/sys/$key ]] || echo "$key $(<"/proc/sys/$key")"; done >"$state/sysctls"
}

restore_sysctls() {
  local key value
  [[ -f $state/sysctls ]] || return 0
  while read -r key value; do echo "$value" >"/proc/sys/$key"; done <"$state/sysctls"
}

up() {
  local part archive
  [[ -f $base/built && -f $images/pause.tar ]] || die "not built: run ./dev testbed up"
  mkdir -p "$state"
  make_certificates
  save_sysctls
  write_settings
  for part in etcd kube-apiserver kube-controller-manager kube-scheduler containerd; do start_part "$part"; done
  for archive in "$images"/*.tar; do runtime images import "$archive" >/dev/null; done
  start_part kubelet
  kubectl get namespace "$namespace" >/dev/null 2>&1 || kubectl create namespace "$namespace" >/dev/null
  wait_for "the service account of $namespace" kubectl -n "$namespace" get serviceaccount default
}

down() {
  local one path
  # While everything runs, so that the runtime cleans up after itself.
  if lives kube-apiserver && lives kubelet; then
    kubectl delete statefulsets,pods --all --all-namespaces --grace-period=1 --timeout=40s >/dev/null 2>&1 || true
  fi
  end kubelet
  if lives containerd; then
    for one in $(runtime tasks ls -q); do
      runtime tasks kill -s KILL "$one" && sleep 0.2
      runtime tasks rm -f "$one"
    done >/dev/null 2>&1 || true
    for one in $(runtime containers ls -q); do runtime containers rm "$one"; done >/dev/null 2>&1 || true
  fi
  for one in containerd kube-scheduler kube-controller-manager kube-apiserver etcd; do end "$one"; done
  awk -v own="$state/" 'index($5, own) == 1 || $5 ~ "^/run/netns/cni-" { print $5 }' /proc/self/mountinfo | sort -r |
    while read -r path; do umount "$path"; done
  for path in /sys/fs/cgroup/*/kubepods /sys/fs/cgroup/*/k8s.io; do
    [[ ! -d $path ]] || find "$path" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
  ip link show rdevtb0 >/dev/null 2>&1 && ip link delete rdevtb0
  restore_sysctls
  rm -rf "$state" "/var/log/pods/${namespace}_"*
}

# What several callers do at once would be undone by one of them: one at a time.
exec 9>"$base/cluster.lock"
flock 9
mkdir -p "$state"
case ${1:-} in
up) up ;;
down) down ;;
start) start_part "$2" ;;
stop) end "$2" ;;
restart) end "$2"; start_part "$2" ;;
status) for part in "${parts[@]}"; do if lives "$part"; then echo "$part runs"; else echo "$part is down"; fi; done ;;
*) die "up, down, start PART, stop PART, restart PART or status; parts: ${parts[*]}" ;;
esac
