//! The box's own Vagrantfile: only what Vagrant needs to be told.

use std::fmt::Write as _;

use super::extras::Extras;
use super::{Format, Machine};
use crate::boxes::Firmware;

/// `None` where there is nothing to tell.
pub(super) fn text(machine: &Machine<'_>, format: Format, extras: &Extras) -> Option<String> {
    let mut lines = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing into a string does not fail.
        let _ = writeln!(lines, "  {text}");
    };
    // VirtualBox's machines get the address from here; elsewhere only a guest that is tied to one needs it.
    if format == Format::Virtualbox || machine.manifest.hardware.mac.is_some() {
        let digits: String = machine.mac.chars().filter(char::is_ascii_hexdigit).collect();
        line(format_args!("config.vm.base_mac = \"{}\"", digits.to_ascii_uppercase()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if machine.user != "vagrant" && machine.manifest.cloud_init.is_none() && machine.user.chars().all(plain) {
        line(format_args!("config.ssh.username = \"{}\"", machine.user));
    }
    if format == Format::Virtualbox && machine.hardware.firmware == Some(Firmware::Uefi) {
        line(format_args!("config.vm.provider \"virtualbox\" do |box|"));
        line(format_args!("  box.customize [\"modifyvm\", :id, \"--firmware\", \"efi\"]"));
        line(format_args!("end"));
    }
    let mut parts = Vec::new();
    if !lines.is_empty() {
        parts.push(format!("Vagrant.configure(\"2\") do |config|\n{lines}end\n"));
    }
    if extras.vagrantfile {
        parts.push(
            "# After the above, so that it can say otherwise.\n\
             include_vagrantfile = File.expand_path(\"../include/_Vagrantfile\", __FILE__)\n\
             load include_vagrantfile if File.exist?(include_vagrantfile)\n"
                .into(),
        );
    }
    (!parts.is_empty()).then(|| format!("# Made by `vbox-rs package`.\n{}", parts.join("\n")))
}
