#!/usr/bin/env bash
# bazel/cargo.sh ROOT LISTING LIBRARY: what the rule in cargo.bzl runs. Builds LIBRARY (DIR/libNAME.so) of the crate in
# ROOT, out of those of its files that LISTING names.
#
# The files are copied to a folder of their own, and Cargo works there: a file that was not declared is not found,
# instead of being used without Bazel knowing.
#
# Cargo keeps what it has compiled, and goes by time: a crate is compiled again when one of its files is newer than its
# output. So the folder that it compiles in decides which times the copies get:
# - In the project's own workspace it is the checkout's, where `cargo build` works, too; elsewhere it is one that
#   CARGO_TARGET_DIR names, if Bazel was told to pass that. Copies keep the times of the files, and Cargo decides as it
#   does without Bazel. Nothing is compiled twice.
# - Otherwise it lies beside LIBRARY. What was built there last may have been another version of the crate, and an
#   archive can hold files of any age. So the copies are new, and the crate is compiled; its dependencies are not.

set -euo pipefail

root=$1 listing=$PWD/$2 library=$PWD/$3

# Where Bazel passes no environment, Cargo is where rustup puts it.
export HOME=${HOME:-~}
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
command -v cargo >/dev/null || {
    echo "cargo is not in PATH ($PATH): install Rust, or start Bazel with --action_env=PATH" >&2
    exit 1
}

times=()
if [ -n "${CARGO_TARGET_DIR:-}" ] || [ "$root" = ./ ]; then
    # Bazel works on links to the checkout.
    checkout=$(dirname "$(realpath "$root/Cargo.toml")")
    CARGO_TARGET_DIR=$(cd "$checkout" && realpath -m "${CARGO_TARGET_DIR:-target}")
    times=(--preserve=timestamps)
else
    CARGO_TARGET_DIR=$library.cargo/target
fi
export CARGO_TARGET_DIR

source=$library.cargo/source
rm -rf "$source"
mkdir -p "$source"
cd "$root"
xargs -d '\n' -a "$listing" cp --dereference --parents "${times[@]}" --target-directory="$source"
cd "$source"
cargo build --release --locked --lib --quiet
cp --force "$CARGO_TARGET_DIR/release/$(basename "$library")" "$library"
