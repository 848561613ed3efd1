#!/usr/bin/env bash
# Fuzzes the parsers of untrusted input, one target after the other. What it finds lies in fuzz/artifacts.
# Usage: scripts/fuzz.sh SECONDS [TARGET…]
set -euo pipefail

cd "$(dirname "$0")/.."
export PATH=$PATH:$PWD/target/tools/bin
seconds=$1 && shift
scripts/tools.sh fuzz
targets=("$@")
(($#)) || mapfile -t targets < <(cargo fuzz list)
# What the machine file's parser should know from the start.
mkdir -p fuzz/corpus/machine_file
cp Vagrantfile.example templates/*.toml fuzz/corpus/machine_file/
for target in "${targets[@]}"; do
    # No sanitizer: those need a nightly compiler, and there is no unsafe code in what is fuzzed. With checks for overflow.
    cargo fuzz run --sanitizer none --debug-assertions "$target" -- -max_total_time="$seconds" -max_len=16384 -timeout=20
done
