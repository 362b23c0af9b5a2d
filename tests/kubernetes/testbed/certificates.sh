#!/usr/bin/env bash
# One authority, certificates for the programs, kubeconfigs; sourced by cluster.sh. Made once for each machine.

certificate() { # NAME SUBJECT serverAuth|clientAuth [SAN]
  local name=$1 subject=$2 use=$3 names=${4:-}
  openssl ecparam -name prime256v1 -genkey -noout -out "$name.key"
  openssl req -new -key "$name.key" -subj "$subject" -out "$name.csr"
  {
    printf 'keyUsage=critical,digitalSignature,keyEncipherment\nextendedKeyUsage=%s\n' "$use"
    [[ -z $names ]] || printf 'subjectAltName=%s\n' "$names"
  } >"$name.ext"
  openssl x509 -req -in "$name.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile "$name.ext" -out "$name.crt"
  rm "$name.csr" "$name.ext"
}

kubeconfig() { # NAME: who shows the certificate NAME
  cat >"$1.kubeconfig" <<YAML
apiVersion: v1
kind: Config
clusters:
- {name: testbed, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority-data: $(base64 -w0 ca.crt)}}
users:
- {name: $1, user: {client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key")}}
contexts:
- {name: testbed, context: {cluster: testbed, user: $1, namespace: $namespace}}
current-context: testbed
YAML
}

make_certificates() {
  local name own="DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:10.96.0.1"
  [[ -f $pki/done ]] && return
  rm -rf "$pki"
  mkdir -p "$pki"
  (
    umask 077
    cd "$pki"
    openssl ecparam -name prime256v1 -genkey -noout -out ca.key
    openssl req -x509 -new -key ca.key -days 3650 -subj /CN=testbed -out ca.crt \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    certificate apiserver /CN=kube-apiserver serverAuth "$own"
    certificate kubelet-server "/CN=$node" serverAuth "DNS:localhost,IP:127.0.0.1"
    certificate apiserver-kubelet /O=system:masters/CN=kube-apiserver-kubelet-client clientAuth
    certificate admin /O=system:masters/CN=admin clientAuth
    certificate kubelet "/O=system:nodes/CN=system:node:$node" clientAuth
    certificate controller-manager /CN=system:kube-controller-manager clientAuth
    certificate scheduler /CN=system:kube-scheduler clientAuth
    for name in admin kubelet controller-manager scheduler; do kubeconfig "$name"; done
    openssl genrsa -out service-accounts.key 2048
    openssl rsa -in service-accounts.key -pubout -out service-accounts.pub
  ) >"$logs/certificates.log" 2>&1 || { cat "$logs/certificates.log" >&2; exit 1; }
  touch "$pki/done"
}
