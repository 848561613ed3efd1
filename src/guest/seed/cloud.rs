//! What a seed says to cloud-init, old and new, and to FreeBSD's nuageinit.
//!
//! cloud-init gets JSON, which is YAML whose strings need no thought about quoting: PyYAML of every version takes it. The
//! reader of nuageinit is a small one in Lua that knows no JSON over several lines and no escapes, so it gets blocks whose
//! values were all checked to need none.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Files, Seed, document};
use crate::guest::{key_text, quote};

/// The user that provisioning scripts of Vagrant projects rely on.
pub(super) const VAGRANT: &str = "vagrant";

const SUDO: &str = "ALL=(ALL) NOPASSWD:ALL";

/// Files for cloud-init since 0.7.7.
pub(super) fn modern(seed: &Seed<'_>, host_key: Option<&(String, String)>) -> Files {
    let mut files = unrenamed(seed, host_key);
    files.push(("network-config", document(&network(seed.mac))));
    files
}

/// The same without a network configuration: cloud-init then asks by DHCP on the first card, whatever it is called.
pub(super) fn unrenamed(seed: &Seed<'_>, host_key: Option<&(String, String)>) -> Files {
    let mut data = user_data(seed);
    if let Some((private, public)) = host_key {
        data["ssh_deletekeys"] = json!(true);
        data["ssh_keys"] = json!({ "ed25519_private": private, "ed25519_public": public });
    }
    data["runcmd"] = json!([["sh", "-c", format!("{}\n{HOST_KEYS}", shells(seed))]]);
    vec![("meta-data", document(&meta_data(seed))), ("user-data", cloud_config(&data))]
}

/// Files for cloud-init 0.6 and 0.7.5, which know neither `network-config` nor ed25519 host keys (they would delete the
/// host's keys and make none), and in 0.6 no `users`.
pub(super) fn old(seed: &Seed<'_>) -> Files {
    let mut data = user_data(seed);
    data["runcmd"] = json!([["sh", "-c", format!("{}\n{}", make_users(seed), shells(seed))]]);
    let mut meta = meta_data(seed);
    meta["network-interfaces"] = json!("auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n");
    vec![("meta-data", document(&meta)), ("user-data", cloud_config(&data))]
}

/// Files for nuageinit. It leaves the network to the image, which asks by DHCP.
pub(super) fn nuageinit(seed: &Seed<'_>, host_key: Option<&(String, String)>) -> Files {
    let mut meta = format!("instance-id: \"{}\"\n", seed.instance_id);
    let mut data = "#cloud-config\n".to_owned();
    // Writing to a string does not fail.
    if let Some(name) = seed.hostname {
        let _ = writeln!(meta, "local-hostname: \"{name}\"");
        let _ = writeln!(data, "fqdn: \"{name}\"");
    }
    data.push_str("users:\n  - default\n");
    for user in users(seed) {
        let _ = write!(
            data,
            "  - name: \"{user}\"\n    groups: \"wheel\"\n    sudo: \"{SUDO}\"\n    ssh_authorized_keys:\n      - \"{}\"\n",
            key_text::normal(seed.authorized_key).unwrap_or_default()
        );
    }
    if let Some((private, public)) = host_key {
        data.push_str("ssh_keys:\n  ed25519_private: |\n");
        for line in private.lines() {
            let _ = writeln!(data, "    {line}");
        }
        let _ = writeln!(data, "  ed25519_public: \"{}\"", key_text::normal(public).unwrap_or_default());
    }
    // The image has none.
    data.push_str("packages:\n  - \"sudo\"\n");
    vec![("meta-data", meta), ("user-data", data)]
}

fn cloud_config(data: &Value) -> String {
    format!("#cloud-config\n{}", document(data))
}

/// Who is made: always Vagrant's user, and the one of the machine file where it is another.
fn users<'a>(seed: &Seed<'a>) -> Vec<&'a str> {
    if seed.user == VAGRANT { vec![VAGRANT] } else { vec![VAGRANT, seed.user] }
}

pub(super) fn meta_data(seed: &Seed<'_>) -> Value {
    let mut data = json!({ "instance-id": seed.instance_id });
    if let Some(name) = seed.hostname {
        data["local-hostname"] = json!(name);
    }
    data
}

/// What all cloud-inits know. The publisher's own user (`default`) stays as it is and gets no key of ours.
fn user_data(seed: &Seed<'_>) -> Value {
    let user = |name: &&str| {
        json!({
            "name": name,
            "sudo": SUDO,
            // A password that an image gave the user still works at the console; a new user has none that fits.
            "lock_passwd": false,
            "passwd": "*",
            "ssh_authorized_keys": [seed.authorized_key.trim()],
        })
    };
    let users: Vec<Value> = [json!("default")].into_iter().chain(users(seed).iter().map(user)).collect();
    let mut data = json!({
        "users": users,
        "growpart": { "mode": "auto", "devices": ["/"] },
        "resize_rootfs": true,
    });
    if seed.user == "root" {
        // Otherwise root's key is kept, with a command that only says who else may log in.
        data["disable_root"] = json!(false);
    }
    host_name(seed, &mut data);
    data
}

/// The keys that set the host name and make it resolve.
pub(super) fn host_name(seed: &Seed<'_>, data: &mut Value) {
    let Some(name) = seed.hostname else { return };
    data["hostname"] = json!(name.split('.').next());
    data["preserve_hostname"] = json!(false);
    data["manage_etc_hosts"] = json!("localhost");
    if name.contains('.') {
        data["fqdn"] = json!(name);
        data["prefer_fqdn_over_hostname"] = json!(true);
    }
}

/// Version 1, which every cloud-init with network configuration knows. The card is found by its address, whatever the
/// image calls it, and is `eth0` from then on, as in Vagrant's boxes.
fn network(mac: &str) -> Value {
    json!({
        "version": 1,
        "config": [{
            "type": "physical",
            "name": "eth0",
            "mac_address": mac,
            "subnets": [{ "type": "dhcp" }],
        }],
    })
}

/// Users whose shell is the system's plain one get bash where there is one; named in `users`, a shell that is missing
/// would lock them out.
fn shells(seed: &Seed<'_>) -> String {
    let users: Vec<_> = users(seed).into_iter().map(quote).collect();
    format!(
        "for u in {}; do case $(getent passwd \"$u\") in *:/bin/sh|*:) [ ! -x /bin/bash ] || usermod -s /bin/bash \"$u\";; \
         esac; done",
        users.join(" ")
    )
}

/// A cloud-init that does not know ed25519 leaves a host without any key, and its ssh server does not start.
const HOST_KEYS: &str = "ls /etc/ssh/ssh_host_*_key >/dev/null 2>&1 || { ssh-keygen -A; service ssh restart || service \
                         sshd restart; }";

/// What `users` would have done.
fn make_users(seed: &Seed<'_>) -> String {
    let users: Vec<_> = users(seed).into_iter().map(quote).collect();
    format!(
        "k={key}\nfor u in {users}; do\n  id \"$u\" >/dev/null 2>&1 || useradd -m -s /bin/bash \"$u\"\n  \
         h=$(getent passwd \"$u\" | cut -d: -f6); mkdir -p \"$h/.ssh\"; f=$h/.ssh/authorized_keys; touch \"$f\"\n  \
         grep -qxF \"$k\" \"$f\" || echo \"$k\" >>\"$f\"\n  \
         chown -R \"$u\" \"$h/.ssh\"; chmod 700 \"$h/.ssh\"; chmod 600 \"$f\"\n  \
         s=/etc/sudoers.d/vbox-rs-$u; (umask 227; echo \"$u {SUDO}\" >\"$s.new\"); mv -f \"$s.new\" \"$s\"\ndone",
        key = quote(seed.authorized_key.trim()),
        users = users.join(" "),
    )
}

#[cfg(test)]
#[path = "cloud_tests.rs"]
mod tests;
