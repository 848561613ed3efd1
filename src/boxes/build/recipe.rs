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
    /// What kind of box it is.
    #[serde(default)]
    pub profile: Profile,
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

/// What kind of box a recipe makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// User `vagrant`, a first-boot step of ours, a kernel for the quick start.
    #[default]
    Quick,
    /// As publishers make their cloud images: users and keys come from cloud-init, starts by BIOS and UEFI.
    Cloud,
}

const SOURCES: [&str; 3] = [
    include_str!("../../../boxes/build/debian-bookworm64.toml"),
    include_str!("../../../boxes/build/debian-bookworm64-cloud.toml"),
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
        Asset { path: $path, mode: $mode, text: include_str!(concat!("../../../boxes/build/", $source)) }
    };
}

/// What is put into a box of profile `quick` before its packages are unpacked.
const QUICK: &[Asset] = &[
    asset!(0o644 "debian/fstab" => "etc/fstab"),
    asset!(0o644 "debian/grub.cfg" => "boot/grub/grub.cfg"),
    asset!(0o644 "debian/hosts" => "etc/hosts"),
    asset!(0o644 "debian/hostname" => "etc/hostname"),
    asset!(0o644 "debian/kernel-img.conf" => "etc/kernel-img.conf"),
    asset!(0o644 "debian/locale.conf" => "etc/locale.conf"),
    asset!(0o644 "debian/initramfs.conf" => "etc/initramfs-tools/conf.d/vbox-rs"),
    asset!(0o755 "debian/initramfs-hook" => "etc/initramfs-tools/hooks/vbox-rs"),
    asset!(0o755 "debian/initramfs-load" => "etc/initramfs-tools/scripts/init-top/udev"),
    asset!(0o755 "debian/initramfs-move" => "etc/initramfs-tools/scripts/init-bottom/udev"),
    asset!(0o644 "debian/blacklist.conf" => "etc/modprobe.d/vbox-rs.conf"),
    asset!(0o644 "debian/sysctl.conf" => "etc/sysctl.d/50-vbox-rs.conf"),
    asset!(0o440 "debian/sudoers" => "etc/sudoers.d/vagrant"),
    asset!(0o644 "debian/sshd.conf" => "etc/ssh/sshd_config.d/vbox-rs.conf"),
    asset!(0o644 "debian/ssh-service.conf" => "etc/systemd/system/ssh.service.d/vbox-rs.conf"),
    asset!(0o644 "debian/dhcp.network" => "etc/systemd/network/80-vbox-rs.network"),
    asset!(0o644 "debian/system.conf" => "etc/systemd/system.conf.d/vbox-rs.conf"),
    asset!(0o755 "debian/resolv-conf" => "usr/lib/vbox-rs/resolv-conf"),
    asset!(0o644 "debian/resolv-conf.path" => "etc/systemd/system/vbox-rs-resolv-conf.path"),
    asset!(0o644 "debian/resolv-conf.service" => "etc/systemd/system/vbox-rs-resolv-conf.service"),
    asset!(0o755 "debian/first-boot" => "usr/lib/vbox-rs/first-boot"),
    asset!(0o644 "debian/first-boot.service" => "etc/systemd/system/vbox-rs-first-boot.service"),
    asset!(0o644 "debian/insecure.pub" => "usr/lib/vbox-rs/insecure.pub"),
    asset!(0o755 "debian/customize.sh" => "usr/lib/vbox-rs/customize"),
];

/// The same for profile `cloud`: only what makes it start.
const CLOUD: &[Asset] = &[
    asset!(0o644 "debian/fstab" => "etc/fstab"),
    asset!(0o644 "debian/grub.cfg" => "boot/grub/grub.cfg"),
    asset!(0o644 "debian/kernel-img.conf" => "etc/kernel-img.conf"),
    asset!(0o644 "debian/locale.conf" => "etc/locale.conf"),
    asset!(0o644 "debian-cloud/locale.cfg" => "etc/cloud/cloud.cfg.d/95_locale.cfg"),
    asset!(0o644 "debian-cloud/hosts" => "etc/hosts"),
    asset!(0o644 "debian-cloud/hostname" => "etc/hostname"),
    asset!(0o755 "debian-cloud/customize.sh" => "usr/lib/vbox-rs/customize"),
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
    /// What is put into the guest before its packages are unpacked.
    pub(super) fn assets(&self) -> &'static [Asset] {
        match self.profile {
            Profile::Quick => QUICK,
            Profile::Cloud => CLOUD,
        }
    }

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
        for asset in self.assets() {
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
        let names = match self.profile {
            Profile::Quick => "net.ifnames=0 ",
            // As publishers have it: cards are called by their place (`enp0s3`).
            Profile::Cloud => "",
        };
        format!("root=UUID={} rw console=tty0 console=ttyS0,115200 {names}no_timer_check", self.root_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_reads_and_is_its_own() {
        assert_eq!(recipes().len(), SOURCES.len());
        let names: Vec<_> = recipes().iter().map(|recipe| recipe.name.as_str()).collect();
        assert_eq!(names, ["debian/bookworm64", "debian/bookworm64-cloud", "debian/trixie64"]);
        assert_ne!(recipes()[0].root_uuid(), recipes()[1].root_uuid());
        for recipe in recipes() {
            assert_eq!(recipe.root_uuid().len(), 36);
            assert!(recipe.packages.iter().any(|name| name == "openssh-server"));
        }
    }

    #[test]
    fn files_end_with_a_line_and_scripts_with_an_interpreter_can_be_run() {
        for asset in QUICK.iter().chain(CLOUD) {
            assert!(asset.text.ends_with('\n'), "{}", asset.path);
            assert_eq!(asset.text.starts_with("#!"), asset.mode == 0o755, "{}", asset.path);
            assert!(!asset.path.starts_with('/') && !asset.path.contains(".."), "{}", asset.path);
        }
    }
}
