#!/usr/bin/env bash
# bazel/envoy.sh FETCH VERSION BINARY: what the rule envoy_binary runs. Puts Envoy VERSION where BINARY says, with
# FETCH, which is tools/envoy and does not fetch again what the checkout has.

set -euo pipefail

fetch=$1 version=$2 binary=$3

export HOME=${HOME:-~}
# Bazel works on links to the checkout.
checkout=$(dirname "$(dirname "$(realpath "$fetch")")")
# Where tools/envoy keeps what it fetches.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$checkout/target}

"$fetch" "$version"
cp --force "$CARGO_TARGET_DIR/envoy/$version/envoy" "$binary"
