#!/usr/bin/env bash
# bazel/cargo.sh ROOT LISTING LIBRARY: what the rule in cargo.bzl runs. Builds LIBRARY (DIR/libNAME.so) of the crate in
# ROOT, out of those of its files that LISTING names.
#
# The files are copied to a folder of their own, and Cargo works there: a file that was not declared is not found,
# instead of being used without Bazel knowing.
#
# Cargo keeps what it has compiled, and goes by time: a crate is compiled again when one of its files is newer than its
# output. So where it compiles decides which times the copies get:
# - In the project's own workspace that is the checkout's folder, where `cargo build` works, too. Copies keep the times
#   of the files, and Cargo decides as it does without Bazel: nothing is compiled twice.
# - In another workspace it is a folder beside LIBRARY. What was built there last may have been another version of the
#   crate, and an archive can hold files of any age. So the copies are new, and the crate is compiled; its dependencies
#   are not.
# Where Bazel was told to pass CARGO_TARGET_DIR, the folder is that one.

set -euo pipefail

root=$1 listing=$PWD/$2 library=$PWD/$3

# Where Bazel passes no environment, Cargo is where rustup puts it.
export HOME=${HOME:-~}
PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
command -v cargo >/dev/null || {
    echo "cargo is not in PATH ($PATH): install Rust, or start Bazel with --action_env=PATH" >&2
    exit 1
}

if [ "$root" = ./ ]; then
    # Bazel works on links to the checkout.
    target=$(dirname "$(realpath Cargo.toml)")/target
    times=(--preserve=timestamps)
else
    target=$library.cargo/target
    times=()
fi
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$target}

source=$library.cargo/source
rm -rf "$source"
mkdir -p "$source"
cd "$root"
xargs -d '\n' -a "$listing" cp --dereference --parents "${times[@]}" --target-directory="$source"
cd "$source"
cargo build --release --locked --lib --quiet
cp --force "$CARGO_TARGET_DIR/release/$(basename "$library")" "$library"
