#!/bin/sh
# Runs one end-to-end test file: run.sh NAME.test.mjs, with RDEV_BIN_DIR = where the programs were built.
here=$(cd "${0%/*}" && pwd)
if ! command -v node >/dev/null; then
  echo "e2e: node is missing: install the packages of deploy/packages.txt (nodejs, npm)" >&2
  exit 1
fi
if [ ! -d "$here/../node_modules/eventsource" ]; then
  echo "e2e: tests/node_modules is missing: run 'npm ci' in tests/" >&2
  exit 1
fi
for program in rdev-api rdev rdev-shim; do
  if [ ! -x "${RDEV_BIN_DIR:?names the folder of the built programs}/$program" ]; then
    echo "e2e: $RDEV_BIN_DIR/$program is missing: build first" >&2
    exit 1
  fi
done
exec node --test "$here/$1"
