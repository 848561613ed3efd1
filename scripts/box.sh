#!/usr/bin/env bash
# Prints the path of the demo box; builds it when there is none of this recipe.
# Usage: scripts/box.sh PATH_OF_VBOX_RS [NAME]
set -euo pipefail

cd "$(dirname "$0")/.."
vbox_rs=$1 name=${2:-debian/bookworm64}
flat=${name//\//-}
key=$(find boxes/build src/boxes/build -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
dir=$PWD/target/test-boxes
box=$dir/$flat-$key.box
if [[ ! -s $box ]]; then
    echo "building the box $name (about a minute)" >&2
    mkdir -p "$dir"
    # Sixteen digits, lest the boxes of a longer name go too.
    rm -f "$dir/$flat"-????????????????.box
    # A home of its own: the user's library is not ours to fill.
    VBOX_RS_HOME=$dir/home "$vbox_rs" box build "$name" --output "$box" </dev/null >&2
    rm -rf "${dir:?}/home"
fi
echo "$box"
