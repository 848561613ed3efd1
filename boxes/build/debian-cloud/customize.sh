#!/bin/sh
# Runs inside of the new system, after its packages are installed and the recipe's files are in place.
# customize.sh STARTED (seconds since 1970; whatever is newer was made by the build itself)
set -eu

: "${SOURCE_DATE_EPOCH:=$(find /usr -xdev -type f ! -newermt "@$1" -printf '%Ts\n' | sort -n | tail -n 1)}"
export SOURCE_DATE_EPOCH

passwd --quiet --lock root
sed -i -E "s/^([^:]*:[^:]*):[0-9]+:/\1:$((SOURCE_DATE_EPOCH / 86400)):/" /etc/shadow
systemctl enable --quiet systemd-networkd.service systemd-resolved.service ssh.service serial-getty@ttyS0.service
# No work of its own beside the tests that time the first start.
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer

update-initramfs -u -k all

rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/dbus/machine-id
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /etc/.pwd.lock
rm -rf /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/lib/apt/lists/*
find /var/log -type f -delete
: >/etc/machine-id
rm -f /etc/resolv.conf
ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
rm -f /usr/lib/vbox-rs/customize
mkdir -p /var/lib/vbox-rs
dpkg-query --show >/var/lib/vbox-rs/packages
echo "$SOURCE_DATE_EPOCH" >/usr/lib/vbox-rs/date
