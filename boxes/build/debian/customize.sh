#!/bin/sh
# Runs inside of the new system, after its packages are installed and the files of `files` are in place.
set -eu

useradd --create-home --shell /bin/bash --user-group vagrant
echo vagrant:vagrant | chpasswd
usermod --append --groups sudo,adm,systemd-journal vagrant
install -d -m 700 -o vagrant -g vagrant /home/vagrant/.ssh
install -m 600 -o vagrant -g vagrant /usr/lib/vbox-rs/insecure.pub /home/vagrant/.ssh/authorized_keys
passwd --quiet --lock root

systemctl enable --quiet vbox-rs-first-boot.service systemd-networkd.service vbox-rs-resolv-conf.path ssh.service \
    serial-getty@ttyS0.service getty@tty1.service
systemctl disable --quiet systemd-networkd-wait-online.service systemd-pstore.service || true
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer systemd-networkd-wait-online.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service systemd-pstore.service modprobe@drm.service modprobe@configfs.service \
    modprobe@dm_mod.service modprobe@loop.service modprobe@fuse.service sys-fs-fuse-connections.mount \
    proc-sys-fs-binfmt_misc.automount systemd-sysusers.service sys-kernel-debug.mount sys-kernel-tracing.mount dev-hugepages.mount systemd-firstboot.service
mkdir -p /etc/systemd/system-generators
for generator in getty gpt-auto hibernate-resume ssh bless-boot tpm2 cryptsetup veritysetup integritysetup; do
    ln -sf /dev/null "/etc/systemd/system-generators/systemd-$generator-generator"
done

# Once more: the kernel package made it before everything that it copies was configured.
SOURCE_DATE_EPOCH=$(stat -c %Y "$(readlink -f /vmlinuz)")
export SOURCE_DATE_EPOCH
update-initramfs -u -k all

rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed /var/lib/dbus/machine-id /etc/.pwd.lock
rm -f /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/subuid- /etc/subgid- /var/log/*.log /var/log/apt/*
rm -rf /var/cache/ldconfig/aux-cache /var/cache/debconf/*-old /var/lib/dpkg/*-old /boot/initrd.img-*.old-dkms
: >/etc/machine-id
# What user-mode networks of QEMU and VirtualBox have; DHCP's answer replaces it.
rm -f /etc/resolv.conf
echo nameserver 10.0.2.3 >/etc/resolv.conf
rm -f /etc/update-motd.d/*
rm -f /usr/lib/vbox-rs/customize /usr/lib/vbox-rs/insecure.pub
