#!/usr/bin/env bash
# The measurements: installs what is missing and builds all that they measure. Parts for which something is missing say so.
set -euo pipefail

cd "$(dirname "$0")/.."
exec </dev/null
scripts/setup.sh build run box bench
cargo build --release --locked
VBOX_RS_TEST_BOX=$(scripts/box.sh "$PWD/target/release/vbox-rs")
export VBOX_RS_TEST_BOX
if scripts/virtualbox/setup.sh target/virtualbox; then
    export VBOX_RS_TEST_VIRTUALBOX=$PWD/target/virtualbox
else
    echo "skipped: VirtualBox is not measured (above is why)"
fi
cargo bench --locked --bench peer
