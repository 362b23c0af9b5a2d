#!/bin/sh
# Runs one test file on the cluster that RDEV_TEST_KUBECONFIG names (./dev testbed up makes one): run.sh NAME.test.mjs
here=$(cd "${0%/*}" && pwd)
if [ -z "$RDEV_TEST_KUBECONFIG" ]; then
  echo "SKIPPED: RDEV_TEST_KUBECONFIG names no cluster; ./dev testbed up makes one"
  exit 77
fi
exec sh "$here/../e2e/run.sh" "../kubernetes/$1"
