#!/usr/bin/env bash
# Makes the box of a tiny guest for the tests of the VirtualBox provider, and prints where it lies: busybox and dropbear on a
# kernel of our own, which reach ssh in VirtualBox's interpreter in about 40 seconds. Does nothing when it is there.
# DIR is what setup.sh filled. Nearly all of its minutes are for the kernel, which is kept apart.
# Usage: scripts/virtualbox/guest.sh DIR
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
dir=$(cd "${1:?usage: guest.sh DIR}" && pwd)
say() { echo "virtualbox: $*" >&2; }
hash() { cat "$@" | sha256sum | cut -c1-16; }

exec 9>"$dir/guest.lock"
flock 9
kernel=$dir/bzImage-$(hash "$here"/kernel.{sh,config})
box=$dir/tiny-$(hash "$here"/{guest.sh,kernel.sh,kernel.config,echo.c} "$here"/guest/*).box
[[ ! -s $box ]] || { echo "$box" && exit 0; }
"$here/../setup.sh" guest >&2
[[ -s $kernel ]] || "$here/kernel.sh" "$kernel" >&2
rm -f "$dir"/tiny-????????????????.box

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
say "making the guest's box"

# What goes into the guest: unpacked, not installed, since busybox-static would replace the host's busybox.
mkdir "$work/packages"
(cd "$work/packages" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download \
    busybox-static dropbear-bin libtomcrypt1 libtommath1 isolinux syslinux-common </dev/null)
for package in "$work"/packages/*.deb; do dpkg-deb -x "$package" "$work/from"; done

root=$work/root
mkdir -p "$root"/{bin,sbin,dev,proc,sys,etc/dropbear,www,root,home/vagrant/.ssh,mnt,tmp,run,lib64,usr/bin,usr/sbin,var/log,var/tmp,vagrant}
mkdir -p "$root/lib/x86_64-linux-gnu" "$work/cd/isolinux"
cp "$work/from/bin/busybox" "$root/bin/"
for applet in $("$root/bin/busybox" --list); do
    [[ $applet == busybox ]] || ln -s busybox "$root/bin/$applet"
done
# Debian's busybox has no applet of that name.
printf '#!/bin/sh\nexec sh "$@"\n' >"$root/bin/bash"
chmod 755 "$root/bin/bash"
cp "$here"/guest/{power-button,sudo} "$root/bin/"
mkdir -p "$root/etc/udhcpc"
# Where Debian's client looks for it by itself.
cp "$here/guest/udhcpc" "$root/etc/udhcpc/default.script"
# Not into bin, where busybox has an applet of that name.
cp "$here/guest/init" "$root/init"
cp "$work/from/usr/sbin/dropbear" "$root/usr/sbin/"
# Linked with the libraries that the server brings along.
cc -O2 -Wall -o "$root/bin/udp-echo" "$here/echo.c"
export LD_LIBRARY_PATH=$work/from/usr/lib/x86_64-linux-gnu
ldd "$root/usr/sbin/dropbear" | grep -oE '/[^ ]+' | while read -r library; do cp -L "$library" "$root/lib/x86_64-linux-gnu/"; done
ln -s ../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2 "$root/lib64/ld-linux-x86-64.so.2"
strip --strip-unneeded "$root"/lib/x86_64-linux-gnu/* "$root/usr/sbin/dropbear" "$root/bin/udp-echo"
"$work/from/usr/bin/dropbearkey" -t ecdsa -s 256 -f "$root/etc/dropbear/hostkey" >/dev/null 2>&1
unset LD_LIBRARY_PATH
# As in Vagrant's boxes: a user `vagrant`, whom Vagrant's published key lets in. RSA: an ed25519 signature costs seconds.
printf 'root:x:0:0:root:/root:/bin/sh\nvagrant:x:0:0:vagrant:/home/vagrant:/bin/sh\n' >"$root/etc/passwd"
printf 'root:*:0:0:99999:7:::\nvagrant:*:0:0:99999:7:::\n' >"$root/etc/shadow"
printf 'root:x:0:\nvagrant:x:1000:\n' >"$root/etc/group"
printf '/bin/sh\n/bin/bash\n' >"$root/etc/shells"
install -m 600 "$here/../../src/guest/data/vagrant_insecure_key" "$work/key"
ssh-keygen -y -f "$work/key" >"$root/home/vagrant/.ssh/authorized_keys"
chmod -R go-rwx "$root/root" "$root/home/vagrant"
echo 'hello from a VirtualBox guest' >"$root/www/index.html"

# Not compressed: inflating it costs the interpreter 20 seconds.
(cd "$root" && find . | cpio -o -H newc --quiet -R 0:0) >"$work/cd/isolinux/initrd"
cp "$kernel" "$work/cd/isolinux/vmlinuz"
cp "$work"/from/usr/lib/ISOLINUX/isolinux.bin "$work"/from/usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/cd/isolinux/"
printf 'DEFAULT l\nPROMPT 0\nLABEL l\n KERNEL vmlinuz\n APPEND initrd=initrd console=ttyS0,115200 loglevel=4 tsc=reliable no_timer_check\n' \
    >"$work/cd/isolinux/isolinux.cfg"
xorriso -as mkisofs -quiet -o "$work/box.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table -isohybrid-mbr "$work/from/usr/lib/ISOLINUX/isohdpfx.bin" "$work/cd"

# A box as VirtualBox's users publish them: its own export.
export VBOX_USER_HOME=$work/home VBOX_IPC_SOCKETID=vbox-rs-guest-$$
manage() { "$dir/bin/VBoxManage" "$@" >>"$work/log" 2>&1 </dev/null || { tail "$work/log" >&2 && exit 1; }; }
manage createvm --name tiny --ostype Linux_64 --basefolder "$work/machines" --register
manage modifyvm tiny --memory 128 --cpus 1 --graphicscontroller vmsvga --vram 16 --audio-enabled off --usb off --nic1 nat \
    --nictype1 82540EM --boot1 disk --boot2 none --boot3 none --boot4 none --rtc-use-utc on
manage storagectl tiny --name 'SATA Controller' --add sata --portcount 1
manage convertfromraw "$work/box.iso" "$work/machines/tiny/box.vdi" --format VDI
manage storageattach tiny --storagectl 'SATA Controller' --port 0 --device 0 --type hdd --medium "$work/machines/tiny/box.vdi"
mkdir "$work/box"
manage export tiny -o "$work/box/box.ovf"
manage unregistervm tiny --delete
echo '{"provider": "virtualbox", "architecture": "amd64"}' >"$work/box/metadata.json"
tar -C "$work/box" -czf "$box.new" .
mv "$box.new" "$box"
rm -rf "/tmp/.vbox-$VBOX_IPC_SOCKETID-ipc"
echo "$box"
