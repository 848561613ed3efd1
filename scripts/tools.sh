#!/usr/bin/env bash
# Installs the cargo tools that are missing, of these versions, into target/tools (the user's own ones are used first).
# Usage: scripts/tools.sh NAME…
set -euo pipefail

cd "$(dirname "$0")/.."
declare -A versions=([nextest]=0.9.143 [deny]=0.20.2 [fuzz]=0.13.2)
PATH=$PATH:$PWD/target/tools/bin
for name in "$@"; do
    command -v "cargo-$name" >/dev/null && continue
    echo "setup: installing cargo-$name ${versions[$name]} into target/tools"
    # A target directory of its own: two of these, and a build of ours, run side by side.
    CARGO_TARGET_DIR=$PWD/target/tools/$name cargo install --quiet --locked --root target/tools \
        --version "${versions[$name]}" "cargo-$name"
    rm -rf "target/tools/$name"
done
