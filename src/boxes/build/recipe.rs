//! Recipes: data under `boxes/build/`, compiled in.

use std::sync::LazyLock;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What a box is made of.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The box's name.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Debian's number of the release; the first part of the box's version.
    pub release: String,
    /// Debian's code name of the release.
    pub suite: String,
    /// Debian's name of the architecture.
    pub architecture: String,
    /// Size of the disk in GiB; sparse, so it costs nothing.
    pub disk_gib: u32,
    /// Debian packages beside the essential ones.
    pub packages: Vec<String>,
}

const SOURCES: [&str; 2] = [
    include_str!("../../../boxes/build/debian-bookworm64.toml"),
    include_str!("../../../boxes/build/debian-trixie64.toml"),
];

/// A file that the recipes share, and where it goes.
pub(super) struct Asset {
    /// Path in the guest, without the leading slash.
    pub path: &'static str,
    /// Permissions.
    pub mode: u32,
    /// Content; `@ROOT_UUID@` and `@CMDLINE@` are filled in.
    pub text: &'static str,
}

macro_rules! asset {
    ($mode:literal $source:literal => $path:literal) => {
        Asset { path: $path, mode: $mode, text: include_str!(concat!("../../../boxes/build/debian/", $source)) }
    };
}

/// What is put into the guest before its packages are unpacked.
pub(super) const ASSETS: &[Asset] = &[
    asset!(0o644 "fstab" => "etc/fstab"),
    asset!(0o644 "grub.cfg" => "boot/grub/grub.cfg"),
    asset!(0o644 "hosts" => "etc/hosts"),
    asset!(0o644 "hostname" => "etc/hostname"),
    asset!(0o644 "kernel-img.conf" => "etc/kernel-img.conf"),
    asset!(0o644 "locale.conf" => "etc/locale.conf"),
    asset!(0o644 "initramfs.conf" => "etc/initramfs-tools/conf.d/vbox-rs"),
    asset!(0o755 "initramfs-hook" => "etc/initramfs-tools/hooks/vbox-rs"),
    asset!(0o755 "initramfs-load" => "etc/initramfs-tools/scripts/init-top/udev"),
    asset!(0o755 "initramfs-move" => "etc/initramfs-tools/scripts/init-bottom/udev"),
    asset!(0o644 "blacklist.conf" => "etc/modprobe.d/vbox-rs.conf"),
    asset!(0o644 "sysctl.conf" => "etc/sysctl.d/50-vbox-rs.conf"),
    asset!(0o440 "sudoers" => "etc/sudoers.d/vagrant"),
    asset!(0o644 "sshd.conf" => "etc/ssh/sshd_config.d/vbox-rs.conf"),
    asset!(0o644 "ssh-service.conf" => "etc/systemd/system/ssh.service.d/vbox-rs.conf"),
    asset!(0o644 "dhcp.network" => "etc/systemd/network/80-vbox-rs.network"),
    asset!(0o644 "system.conf" => "etc/systemd/system.conf.d/vbox-rs.conf"),
    asset!(0o755 "resolv-conf" => "usr/lib/vbox-rs/resolv-conf"),
    asset!(0o644 "resolv-conf.path" => "etc/systemd/system/vbox-rs-resolv-conf.path"),
    asset!(0o644 "resolv-conf.service" => "etc/systemd/system/vbox-rs-resolv-conf.service"),
    asset!(0o755 "first-boot" => "usr/lib/vbox-rs/first-boot"),
    asset!(0o644 "first-boot.service" => "etc/systemd/system/vbox-rs-first-boot.service"),
    asset!(0o644 "insecure.pub" => "usr/lib/vbox-rs/insecure.pub"),
    asset!(0o755 "customize.sh" => "usr/lib/vbox-rs/customize"),
];

/// What stays on the host.
pub(super) const DPKG_CONF: &str = include_str!("../../../boxes/build/debian/dpkg.cfg");
pub(super) const MKE2FS_CONF: &str = include_str!("../../../boxes/build/debian/mke2fs.conf");
pub(super) const IMAGE_SCRIPT: &str = include_str!("../../../boxes/build/debian/image.sh");

static RECIPES: LazyLock<Vec<Recipe>> =
    LazyLock::new(|| SOURCES.iter().filter_map(|text| toml::from_str(text).ok()).collect());

/// Every box that can be built.
pub fn recipes() -> &'static [Recipe] {
    &RECIPES
}

impl Recipe {
    /// SHA-256 of the recipe and of every file that it puts into the box: a box built from another recipe is another box.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        let mut add = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        for text in [&self.name, &self.release, &self.suite, &self.architecture, &self.disk_gib.to_string()] {
            add(text);
        }
        for text in self.packages.iter().map(String::as_str).chain([DPKG_CONF, MKE2FS_CONF, IMAGE_SCRIPT]) {
            add(text);
        }
        for asset in ASSETS {
            add(asset.path);
            add(&asset.mode.to_string());
            add(asset.text);
        }
        super::hex(&hash.finalize())
    }

    /// The root file system's UUID: derived, so that two builds agree, and its own for each recipe.
    pub fn root_uuid(&self) -> String {
        let mut digits = self.digest();
        digits.truncate(32);
        digits.replace_range(12..13, "8");
        digits.replace_range(16..17, "8");
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
    }

    /// The kernel's command line: the same through GRUB and by direct start. The last console is the serial one, whose
    /// output a provider keeps; emulated timers fail the check that `no_timer_check` leaves out.
    pub fn cmdline(&self) -> String {
        format!("root=UUID={} rw console=tty0 console=ttyS0,115200 net.ifnames=0 no_timer_check", self.root_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_reads_and_is_its_own() {
        assert_eq!(recipes().len(), SOURCES.len());
        let names: Vec<_> = recipes().iter().map(|recipe| recipe.name.as_str()).collect();
        assert_eq!(names, ["debian/bookworm64", "debian/trixie64"]);
        assert_ne!(recipes()[0].root_uuid(), recipes()[1].root_uuid());
        for recipe in recipes() {
            assert_eq!(recipe.root_uuid().len(), 36);
            assert!(recipe.packages.iter().any(|name| name == "openssh-server"));
        }
    }

    #[test]
    fn files_end_with_a_line_and_scripts_with_an_interpreter_can_be_run() {
        for asset in ASSETS {
            assert!(asset.text.ends_with('\n'), "{}", asset.path);
            assert_eq!(asset.text.starts_with("#!"), asset.mode == 0o755, "{}", asset.path);
            assert!(!asset.path.starts_with('/') && !asset.path.contains(".."), "{}", asset.path);
        }
    }
}
