#!/usr/bin/env bash
# bazel/cargo.sh ROOT LISTING LIBRARY: what the rule in cargo.bzl runs. Builds LIBRARY (DIR/libNAME.so) of the crate in
# ROOT, out of those of its files that LISTING names.
#
# The files are copied to a folder of their own, and Cargo works there: a file that was not declared is not found,
# instead of being used without Bazel knowing.
#
# What Cargo compiles is kept, and its rule for that is time: a crate is compiled again when one of its files is newer
# than its output. So what the copies' times are depends on the folder that they are compiled in:
# - GRAFT_TARGET_DIR is the checkout's own. Copies keep the times of its files, and Cargo decides as it does there.
# - Otherwise the folder lies beside LIBRARY. An older version of the crate may have been built there last, and an
#   archive can hold files of any age. So the copies are new, and the crate is compiled; its dependencies are not.

set -euo pipefail

root=$1 listing=$PWD/$2 library=$PWD/$3

# Where Bazel was told to pass no environment, Cargo is where rustup puts it.
export HOME=${HOME:-~}
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
command -v cargo >/dev/null || {
    echo "cargo is not in PATH ($PATH): install Rust, or start Bazel with --action_env=PATH" >&2
    exit 1
}

source=$library.cargo/source
times=()
if [ -n "${GRAFT_TARGET_DIR:-}" ]; then
    export CARGO_TARGET_DIR=$GRAFT_TARGET_DIR
    times=(--preserve=timestamps)
else
    export CARGO_TARGET_DIR=$library.cargo/target
fi

rm -rf "$source"
mkdir -p "$source"
cd "$root"
xargs -d '\n' -a "$listing" cp --dereference --parents "${times[@]}" --target-directory="$source"
cd "$source"
cargo build --release --locked --lib --quiet
cp --force "$CARGO_TARGET_DIR/release/$(basename "$library")" "$library"
