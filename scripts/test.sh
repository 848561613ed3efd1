#!/usr/bin/env bash
# Everything that must hold: installs what is missing, then checks, tests and documentation. Ends with nextest's summary.
set -euo pipefail

cd "$(dirname "$0")/.."
exec </dev/null
step() { printf '\n== %s\n' "$*"; }
export PATH=$PATH:$PWD/target/tools/bin CARGO_TERM_PROGRESS_WHEN=never

step setup
scripts/setup.sh
mkdir -p target
# Minutes of compiling, needed only at the end: beside the rest.
scripts/tools.sh deny >target/tools-deny.log 2>&1 &
deny=$!
trap 'kill "$deny" 2>/dev/null || true' EXIT
step formatting
cargo fmt --all --check
step shellcheck
shellcheck scripts/*.sh scripts/virtualbox/*.sh .ci/run
shellcheck -s sh boxes/build/debian/{customize.sh,image.sh,first-boot,resolv-conf,initramfs-hook,initramfs-load,initramfs-move} boxes/build/debian-cloud/customize.sh src/guest/data/reset.sh scripts/virtualbox/guest/*
# With the fuzz targets, which must at least compile.
step clippy
cargo clippy --locked --workspace --all-targets -- -D warnings
step documentation
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
cargo test --locked --quiet --doc
step "the demo box, and a cloud image"
cargo build --locked
VBOX_RS_TEST_BOX=$(scripts/box.sh "$PWD/target/debug/vbox-rs")
VBOX_RS_TEST_CLOUD=$(scripts/box.sh "$PWD/target/debug/vbox-rs" debian/bookworm64-cloud)
export VBOX_RS_TEST_BOX VBOX_RS_TEST_CLOUD VBOX_RS_TEST_BUILD=${VBOX_RS_TEST_BUILD-debian/trixie64}
step "VirtualBox, without its driver"
if scripts/virtualbox/setup.sh target/virtualbox; then
    export VBOX_RS_TEST_VIRTUALBOX=$PWD/target/virtualbox
else
    echo "skipped: the tests of the VirtualBox provider (above is why)"
fi
step "licences, bans, sources"
wait "$deny" || { cat target/tools-deny.log && exit 1; }
trap - EXIT
cargo deny --log-level warn check licenses bans sources
step tests
scripts/tools.sh nextest
cargo nextest run --locked --profile full
