#!/usr/bin/env bash
# Builds a Linux kernel that VirtualBox's interpreter can carry, from Debian's sources: a stock one takes minutes to start.
# It takes some minutes.
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
# Most of the sources are drivers and architectures that are not asked for; what describes them is read all the same.
tar -xf "usr/src/$package.tar.xz" --exclude='*/Documentation/*/*' --exclude='*/tools/testing/*' --exclude='*/arch/[!x]*/*.'{[chS],dts,dtsi} \
    --exclude='*/'{sound,drivers/{gpu,media,staging,infiniband,iio,net/wireless}}'/*.[ch]'
cd "$package"
echo "virtualbox: building the guest's kernel (some minutes)"
# What the file does not name is left out, whatever the kernel's own defaults are.
KCONFIG_ALLCONFIG=$here/kernel.config make -s allnoconfig >"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2 && exit 1; }
for option in VBOXSF_FS E1000 SATA_AHCI ACPI_BUTTON SERIAL_8250_CONSOLE; do
    grep -qx "CONFIG_$option=y" .config || { echo "virtualbox: this kernel's $option needs more in kernel.config" >&2 && exit 1; }
done
make -s -j"$(nproc)" bzImage >>"$work/log" 2>&1 || { tail -n 20 "$work/log" >&2 && exit 1; }
cp arch/x86/boot/bzImage "$out.new"
mv "$out.new" "$out"
