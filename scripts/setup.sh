#!/usr/bin/env bash
# Installs what is missing on a Debian or Ubuntu, and says what and why. Does nothing when everything is there.
# Usage: scripts/setup.sh [build] [run] [box] [test] [guest] [bench]
set -euo pipefail

declare -A why=(
    [build]="to compile" [run]="to run machines" [box]="to build boxes" [test]="to run the tests"
    [guest]="to build a tiny guest for VirtualBox" [bench]="to measure memory, and to have a peer"
)
declare -A packages=(
    [build]="gcc libc6-dev make pkg-config libssl-dev zlib1g-dev"
    [run]="qemu-system-x86 qemu-utils openssh-client rsync curl ca-certificates"
    [box]="mmdebstrap grub-pc-bin grub-efi-amd64-bin grub-common e2fsprogs xz-utils zstd uidmap debian-archive-keyring"
    [test]="shellcheck git openssh-server g++ ovmf docker-registry skopeo nginx-light openssl libvirt-daemon-system libvirt-clients libxml2-utils dnsmasq-base swtpm swtpm-tools"
    [guest]="gcc make flex bison libelf-dev bc lz4 cpio xorriso xz-utils binutils openssh-client"
    [bench]="time vagrant vagrant-libvirt"
)

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }
as_root() { if ((EUID)); then sudo "$@"; else "$@"; fi; }
# Servers that only the tests start (nginx, docker-registry) must not be started by their packages.
apt() { as_root env DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 apt-get -qq -o Dpkg::Use-Pty=0 "$@" </dev/null; }
candidate() { apt-cache policy "$1" | awk '/Candidate:/ { print $2 }'; }

# The lists may be missing, or older than the mirror: then once more with new ones.
install() { apt install --no-install-recommends -y "$@" || { apt update && apt install --no-install-recommends -y "$@"; }; }

# Where qemu-utils comes from the backports, the plain qemu-system-x86 conflicts with it: both from the same source.
backports() {
    local suite uri file key sources codename=${VERSION_CODENAME:?}
    suite=$codename-backports
    # One paragraph for each source that apt knows, whichever way it is written in its files.
    sources=$(apt-get indextargets 'Created-By: Packages')
    if ! grep -qx "Release: $suite" <<<"$sources"; then
        read -r uri file < <(awk -v suite="$codename" 'BEGIN { RS = ""; FS = "\n" } {
            split("", of)
            for (i = 1; i <= NF; i++) { at = index($i, ": "); of[substr($i, 1, at - 1)] = substr($i, at + 2) }
            if (of["Release"] == suite) { sub(/:[0-9]+$/, "", of["Sourcesentry"]); print of["Repo-URI"], of["Sourcesentry"]; exit }
        }' <<<"$sources")
        key=$(sed -nE 's/^Signed-By: *([^ ]+).*/\1/p; s/.*signed-by=([^] ]+).*/\1/p' "${file:-/dev/null}" | head -n 1)
        echo "setup: adding the source $suite (${uri:?no source of $codename is known to apt})"
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n%s' "$uri" "$suite" "${key:+Signed-By: $key$'\n'}" |
            as_root tee /etc/apt/sources.list.d/vbox-rs-backports.sources >/dev/null
    fi
    apt-cache policy | grep -q "n=$suite" || apt update
    install -t "$suite" qemu-system-x86 qemu-utils
}

command -v cargo >/dev/null || { echo "setup: Rust is missing; get it from https://rustup.rs" >&2 && exit 1; }
command -v apt-get >/dev/null || { echo "setup: no apt-get here; install by hand: ${packages[*]}" >&2 && exit 1; }
# shellcheck source=/dev/null
. /etc/os-release
(($#)) || set -- build run box test
wanted=()
for group; do
    missing=()
    for name in ${packages[$group]}; do installed "$name" || missing+=("$name"); done
    ((${#missing[@]} == 0)) || echo "setup: installing ${missing[*]} (${why[$group]})"
    wanted+=("${missing[@]}")
done
((${#wanted[@]})) || exit 0
compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null || apt update
if [[ " ${wanted[*]} " == *" qemu-system-x86 "* ]] && installed qemu-utils &&
    dpkg --compare-versions "$(dpkg-query -W -f '${Version}' qemu-utils)" gt "$(candidate qemu-system-x86)"; then
    echo "setup: qemu-utils is newer here than the distribution's qemu-system-x86; taking that from the backports too"
    backports
fi
install "${wanted[@]}"
