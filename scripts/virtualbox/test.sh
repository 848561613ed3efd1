#!/usr/bin/env bash
# All tests of the VirtualBox provider, also those with a guest that has to boot (its kernel is built once, in minutes).
# Arguments are nextest's.
set -euo pipefail

cd "$(dirname "$0")/../.."
exec </dev/null
export PATH=$PATH:$PWD/target/tools/bin
scripts/setup.sh build test
scripts/virtualbox/setup.sh target/virtualbox
VBOX_RS_TEST_VIRTUALBOX=$PWD/target/virtualbox
VBOX_RS_TEST_VIRTUALBOX_GUEST=$(scripts/virtualbox/guest.sh "$VBOX_RS_TEST_VIRTUALBOX")
export VBOX_RS_TEST_VIRTUALBOX VBOX_RS_TEST_VIRTUALBOX_GUEST
scripts/tools.sh nextest
cargo nextest run --locked --profile full --test virtualbox --test provider -E 'binary(virtualbox) | test(on_virtualbox)' "$@"
