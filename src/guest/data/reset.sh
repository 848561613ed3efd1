# Makes a system as new: what a copy of it must not have in common with the next one is removed, and made anew on the next
# boot. Runs as root; $1 is the login user, $2 the keys that let in whoever has a new copy. Every line may meet a system
# that has nothing of it.
set -u
export PATH="$PATH:/usr/sbin:/sbin"
user=$1 keys=$2
cd /

home=$(awk -F: -v user="$user" '$1 == user { print $6 }' /etc/passwd)
if [ -z "$home" ]; then echo "the user $user is not in /etc/passwd" >&2; exit 1; fi
umask 077
mkdir -p "$home/.ssh" || exit 1
printf '%s\n' "$keys" >"$home/.ssh/.vbox-rs-new" || exit 1
chown "$user:" "$home/.ssh" "$home/.ssh/.vbox-rs-new" || exit 1
mv -f "$home/.ssh/.vbox-rs-new" "$home/.ssh/authorized_keys" || exit 1
if [ -x /usr/sbin/restorecon ]; then restorecon -R "$home/.ssh"; fi

# Who makes host keys on a boot that finds none: our own first-boot step, cloud-init, Red Hat's units. For the rest a unit.
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
if [ ! -x /usr/lib/vbox-rs/first-boot ] && ! command -v cloud-init >/dev/null && ! ls /usr/lib/systemd/system/sshd-keygen* >/dev/null 2>&1; then
    if [ -d /run/systemd/system ]; then
        umask 022
        cat >/etc/systemd/system/vbox-rs-host-keys.service <<'UNIT'
[Unit]
Description=Make ssh host keys where there are none
Before=ssh.service sshd.service ssh.socket
ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key

[Service]
Type=oneshot
ExecStart=/usr/bin/ssh-keygen -A

[Install]
WantedBy=multi-user.target
UNIT
        mkdir -p /etc/systemd/system/multi-user.target.wants
        ln -sf ../vbox-rs-host-keys.service /etc/systemd/system/multi-user.target.wants/ || exit 1
    else
        ssh-keygen -A || exit 1
    fi
fi

if [ -e /etc/machine-id ]; then : >/etc/machine-id || exit 1; fi
if [ ! -L /var/lib/dbus/machine-id ]; then rm -f /var/lib/dbus/machine-id; fi
# It saves its seed once more when it stops.
systemctl stop systemd-random-seed.service 2>/dev/null
rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret

if command -v cloud-init >/dev/null; then
    cloud-init clean --logs || cloud-init clean ||
        rm -rf /var/lib/cloud/instance /var/lib/cloud/instances /var/lib/cloud/data /var/lib/cloud/sem
fi >/dev/null 2>&1
rm -rf /var/lib/vbox-rs

rm -f /etc/udev/rules.d/70-persistent-net.rules
rm -f /var/lib/dhcp/* /var/lib/dhclient/* /var/lib/dhcpcd/*.lease /var/lib/NetworkManager/*.lease
rm -rf /var/log/journal/*
find /var/log -xdev -type f \( -name '*.gz' -o -name '*.xz' -o -name '*.old' -o -name '*.[0-9]' \) -exec rm -f {} +
find /var/log -xdev -type f -exec sh -c 'for file; do : >"$file"; done' sh {} +

sync
fstrim -a 2>/dev/null || fstrim / 2>/dev/null
sync
exit 0
