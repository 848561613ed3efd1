#!/usr/bin/env bash
# Builds a Linux kernel that VirtualBox's interpreter can carry, from Debian's sources: a stock one takes minutes to start.
# It takes about five minutes on two cores.
# Usage: scripts/virtualbox/kernel.sh BZIMAGE
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# linux-source is a name for the newest one of this distribution.
package=$(apt-cache depends linux-source | awk '$1 == "Depends:" && $2 ~ /^linux-source-/ { print $2; exit }')
[[ -n $package ]] || { echo "virtualbox: apt knows no linux-source" >&2 && exit 1; }
cd "$work"
echo "virtualbox: downloading $package"
apt-get -qq -o APT::Sandbox::User="$(id -un)" download "$package" </dev/null
dpkg-deb -x "$package"_*.deb .
tar -xf "usr/src/$package.tar.xz"
cd "$package"
echo "virtualbox: building the guest's kernel (about five minutes)"
make -s tinyconfig >"$work/log"
./scripts/kconfig/merge_config.sh -m .config "$here/kernel.config" >>"$work/log"
{ make -s olddefconfig && make -s -j"$(nproc)" bzImage; } >>"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2 && exit 1; }
cp arch/x86/boot/bzImage "$out.new"
mv "$out.new" "$out"
