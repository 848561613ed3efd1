#!/bin/sh
# `box add` of a qcow2 in a .tar.gz from a local HTTP server against `curl | gzip -dc | tar x` and `sha256sum`.
# Interleaved, median of RUNS each. box-add.sh BINARY ARCHIVE [RUNS]; BINARY is the release build of examples/box_add.
set -eu
binary=$(realpath "$1") archive=$(realpath "$2") runs=${3:-5}
work=$(mktemp -d -p "${BENCH_DIR:-/var/tmp}")
: >"$work/server.log"
cd "$(dirname "$archive")"
python3 -u -m http.server --bind 127.0.0.1 0 >"$work/server.log" 2>&1 &
server=$!
trap 'kill $server; rm -rf "$work"' EXIT
until port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/server.log") && [ -n "$port" ]; do sleep 0.1; done
url="http://127.0.0.1:$port/$(basename "$archive")"
cd "$work"
now() { date +%s.%N; }
lap() { # NAME COMMAND…: appends the seconds that it took
    name=$1; shift; sync; began=$(now); "$@" >/dev/null; ended=$(now)
    echo "$began $ended" | awk '{ printf "%.3f\n", $2 - $1 }' >>"$work/$name"
}
pipe() { mkdir plain && curl -fsS "$url" | gzip -dc | tar x -C plain && sha256sum plain/box.img; }
pipe_sync() { pipe && sync -f plain/box.img; }
ours() { "$binary" "$work/home" "$url"; }
checked() { "$binary" "$work/home" "$url" "sha256:$sum"; }
sum=$(sha256sum "$archive" | cut -d' ' -f1)
for _ in $(seq "$runs"); do
    lap pipe pipe; rm -rf plain
    lap ours ours; rm -rf home
    lap checked checked; rm -rf home
    lap pipe_sync pipe_sync; rm -rf plain
done
median() { sort -n "$work/$1" | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }
for name in pipe pipe_sync ours checked; do echo "$name $(median $name) s (all: $(tr '\n' ' ' <"$work/$name"))"; done
echo "$(median ours) $(median pipe)" | awk '{ printf "ratio %.2f\n", $1 / $2 }'
