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
mkdir -p fuzz/corpus/machine_file
cp Vagrantfile.example templates/*.toml fuzz/corpus/machine_file/
mkdir -p fuzz/corpus/ruby
for file in tests/vagrantfiles/*/Vagrantfile; do
    name=${file%/Vagrantfile}
    cp "$file" "fuzz/corpus/ruby/${name##*/}"
done
awk -v to=fuzz/corpus/ruby/snippet- 'BEGIN { n = 1 } /^%%$/ { n++; next } { print >(to n) }' tests/ruby/snippets.rb
# Built like a release, but link-time optimisation of each target would take minutes.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=2
for target in "${targets[@]}"; do
    # What the parser should know from the start is in fuzz/seeds; what is found goes into the first folder.
    mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
    # No sanitizer: those need a nightly compiler, and there is no unsafe code in what is fuzzed. With checks for overflow,
    # and bounds for memory and for the time of one input, which on a busy machine is not that of the processor.
    cargo fuzz run --sanitizer none --debug-assertions "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -max_len=16384 -timeout=60 -rss_limit_mb=1024 -print_final_stats=1
done
