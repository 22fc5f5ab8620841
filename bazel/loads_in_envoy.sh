#!/usr/bin/env bash
# bazel/loads_in_envoy.sh ENVOY MODULE PLUGIN BOOTSTRAP: what the rule envoy_test runs.
#
# A stock Envoy has to accept the module and to run the plugin request-id-guard in it: a request without an id is
# answered by the plugin, one with an id goes through. The stories of tests/envoy say the rest; this one says that
# what Bazel has built is the real thing.

set -euo pipefail

envoy=$PWD/$1 module=$PWD/$2 plugin=$PWD/$3 bootstrap=$4
log=$TEST_TMPDIR/envoy.log admin=$TEST_TMPDIR/admin configuration=$TEST_TMPDIR/bootstrap.yaml
process=''

fail() {
    echo "FAILED: $*; Envoy's log:" >&2
    cat "$log" >&2
    exit 1
}

stop() {
    if [ -z "$process" ]; then return; fi
    kill "$process" 2>/dev/null || true
    wait "$process" || true
}
trap stop EXIT

# Envoy has written the address of its admin interface, and says there that it is ready.
is_ready() { [ -s "$admin" ] && curl -sf "http://$(cat "$admin")/ready" >/dev/null; }

# expect STATUS BODY ARGUMENT...: what a request with these arguments of curl is answered with.
expect() {
    local expected="$1 $2" answer
    shift 2
    answer=$(curl -sS --max-time 10 --write-out '%{http_code} ' --output "$TEST_TMPDIR/body" "$@" "$url" 2>&1) || fail "$answer"
    answer+=$(cat "$TEST_TMPDIR/body")
    [ "$answer" = "$expected" ] || fail "the answer is '$answer', and not '$expected'"
}

: >"$log"
sed "s|PLUGIN|$plugin|" "$bootstrap" >"$configuration"
ENVOY_DYNAMIC_MODULES_SEARCH_PATH=$(dirname "$module")
export ENVOY_DYNAMIC_MODULES_SEARCH_PATH

"$envoy" --mode validate -c "$configuration" >"$log" 2>&1 || fail "the bootstrap is not valid"

"$envoy" -c "$configuration" --concurrency 1 --use-dynamic-base-id --admin-address-path "$admin" >"$log" 2>&1 &
process=$!
for _ in {1..300}; do
    is_ready && break
    kill -0 "$process" 2>/dev/null || fail "Envoy is gone"
    sleep 0.1
done
is_ready || fail "Envoy did not get ready"

url=http://$(curl -sf "http://$(cat "$admin")/listeners" | sed -n 's/^test:://p')/
expect 403 'a request needs the header x-request-id'
expect 200 'through the plugin' --header 'x-request-id: 1'
echo "a stock Envoy runs a plugin in $(basename "$module")"
