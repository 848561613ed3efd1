#!/bin/sh
# Runs inside of the new system, after its packages are installed and the recipe's files are in place.
# customize.sh STARTED (seconds since 1970; whatever is newer was made by the build itself)
set -eu

# What the build makes itself gets the date of the newest file that a package brought: the same packages, the same box.
: "${SOURCE_DATE_EPOCH:=$(find /usr -xdev -type f ! -newermt "@$1" -printf '%Ts\n' | sort -n | tail -n 1)}"
export SOURCE_DATE_EPOCH

useradd --create-home --shell /bin/bash --user-group vagrant
# `vagrant`; written out because a fresh salt would make every build another one.
# shellcheck disable=SC2016 # a hash, not variables
usermod --password '$6$vboxrs$a/RlSgw880NMwbFe.EKl5OdKDkLKhSA3rkLV7jlRov1zupcpVHLdM3qxnRVUSdYI75piHEkEE6TLWlzHWc5/Y0' vagrant
usermod --append --groups sudo,adm,systemd-journal vagrant
# Where the recipe has Docker.
if getent group docker >/dev/null; then usermod --append --groups docker vagrant; fi
install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh
install -m 600 -o vagrant -g vagrant /usr/lib/vbox-rs/insecure.pub /home/vagrant/.ssh/authorized_keys
passwd --quiet --lock root
sed -i -E "s/^([^:]*:[^:]*):[0-9]+:/\1:$((SOURCE_DATE_EPOCH / 86400)):/" /etc/shadow

systemctl enable --quiet vbox-rs-first-boot.service vbox-rs-resolv-conf.path systemd-networkd.service ssh.service \
    serial-getty@ttyS0.service getty@tty1.service
# What a development machine does not need or what would work while the user waits for his first start.
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service systemd-pstore.service systemd-sysusers.service systemd-firstboot.service \
    modprobe@drm.service modprobe@configfs.service modprobe@dm_mod.service modprobe@loop.service \
    modprobe@fuse.service sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
    sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount
mkdir -p /etc/systemd/system-generators
for generator in getty gpt-auto hibernate-resume ssh bless-boot tpm2 cryptsetup veritysetup integritysetup; do
    ln -sf /dev/null "/etc/systemd/system-generators/systemd-$generator-generator"
done

# Once more: the kernel package made it before everything that it copies was configured.
update-initramfs -u -k all

rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/dbus/machine-id /etc/update-motd.d/*
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /etc/.pwd.lock
rm -rf /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old /var/lib/apt/lists/*
find /var/log -type f -delete
: >/etc/machine-id
# What user-mode networks of QEMU and VirtualBox have; DHCP's answer replaces it.
rm -f /etc/resolv.conf
echo nameserver 10.0.2.3 >/etc/resolv.conf
rm -f /usr/lib/vbox-rs/customize /usr/lib/vbox-rs/insecure.pub
mkdir -p /var/lib/vbox-rs
dpkg-query --show >/var/lib/vbox-rs/packages
echo "$SOURCE_DATE_EPOCH" >/usr/lib/vbox-rs/date
