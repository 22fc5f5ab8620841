#!/usr/bin/env bash
# bazel/envoy.sh FETCH VERSION BINARY: what the rule envoy_binary runs. Puts Envoy VERSION where BINARY says, with
# FETCH, which is tools/envoy. One that the checkout has already (GRAFT_TARGET_DIR; see tools/bazel) is not fetched again.

set -euo pipefail

fetch=$1 version=$2 binary=$PWD/$3

export HOME=${HOME:-~}
# Where tools/envoy keeps what it fetches.
export CARGO_TARGET_DIR=${GRAFT_TARGET_DIR:-$binary.fetched}

"$fetch" "$version"
cp --force "$CARGO_TARGET_DIR/envoy/$version/envoy" "$binary"
