#!/bin/sh
# Runs on the host, as root or as root of a user namespace: unpacks `root.tar`, makes the root partition's file system
# of it inside of `disk.raw`, and takes out what the box carries beside its disk.
# image.sh UUID OFFSET_BYTES BLOCKS
set -eu
umask 022
mkdir root
# The kernel fills /dev; a user namespace could not make its nodes.
tar --numeric-owner --same-owner --same-permissions --exclude='./dev/*' -xf root.tar -C root
date=$(cat root/usr/lib/vbox-rs/date)
find root -newermt "@$date" -exec touch --no-dereference --date="@$date" {} +
cp --dereference root/vmlinuz vmlinuz
cp --dereference root/initrd.img initrd.img
cat root/var/lib/vbox-rs/packages >packages
rm -r root/var/lib/vbox-rs
(cd root && find . -printf '%P\t%M\t%U\t%G\t%l\n' | LC_ALL=C sort) >files
E2FSPROGS_FAKE_TIME=$date
export E2FSPROGS_FAKE_TIME
mke2fs -q -F -t ext4 -b 4096 -m 1 -L root -U "$1" \
    -E "offset=$2,lazy_itable_init=0,lazy_journal_init=0,nodiscard,hash_seed=$1" -d root disk.raw "$3"
chmod 644 vmlinuz initrd.img packages files
printf "%s\n" "$date" >./date
rm -rf root
