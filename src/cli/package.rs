//! `package`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;

use super::{App, Done, Error};
use crate::boxes::Version;
use crate::boxes::package::{Format, Wanted};
use crate::machine::{self, PackageRequest, Packaged};
use crate::ui::text;

/// Make a box of a machine
///
/// Both vbox-rs and Vagrant can add it. A machine that runs is shut down first. Its disks are only read: a copy of them is
/// started once, and host keys, machine id, first-boot state, leases and logs are removed from that, so that each machine
/// of the box gets its own. The login user's key in the box is Vagrant's published one, which the first `up` replaces.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs package                              writes package.box
  vbox-rs package web --output web.box --box-name me/web --box-version 1.2.0
  vbox-rs package --vagrantfile defaults.rb --include certs,README.md
  vbox-rs package --format virtualbox --output web-virtualbox.box
  vbox-rs package --format oci --output web.oci.tar")]
pub(super) struct Package {
    /// Name or beginning of its id; needed where the project has several and none is primary
    machine: Option<String>,
    /// File to write
    #[arg(long, value_name = "FILE", default_value = "package.box", value_hint = clap::ValueHint::FilePath)]
    output: PathBuf,
    /// Replace a file that is there
    #[arg(short, long)]
    force: bool,
    /// Files and folders that go into the box, below include/
    #[arg(long, value_name = "PATH", value_delimiter = ',', value_hint = clap::ValueHint::AnyPath)]
    include: Vec<PathBuf>,
    /// Vagrantfile (Ruby) with defaults for machines of the box
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    vagrantfile: Option<PathBuf>,
    /// JSON object that `box info` shows
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    info: Option<PathBuf>,
    /// For which hypervisor, or an image for OCI registries; vbox-rs adds all of them
    #[arg(long, default_value = "libvirt", value_parser = format())]
    format: Format,
    /// Start no copy: keys, host keys, machine id and logs go into the box as they are
    #[arg(long)]
    no_reset: bool,
    /// Name that the box brings; `box add --name` gives another one
    #[arg(long, value_name = "NAME")]
    box_name: Option<String>,
    /// Version that the box brings
    #[arg(long, value_name = "VERSION")]
    box_version: Option<Version>,
}

fn format() -> impl clap::builder::TypedValueParser<Value = Format> {
    let names = Format::ALL.iter().map(|format| format.name());
    PossibleValuesParser::new(names)
        .map(|name| Format::ALL.iter().copied().find(|format| format.name() == name).unwrap_or_default())
}

impl Package {
    pub(super) fn run(&self, app: &App) -> Done {
        let fleet = app.fleet()?;
        let target = app.target(&fleet, self.machine.as_deref())?;
        if !self.force && self.output.exists() {
            return Err(Error::Exists { path: self.output.clone() }.into());
        }
        let request = PackageRequest {
            output: self.output.clone(),
            replace: self.force,
            format: self.format,
            extras: Wanted {
                include: self.include.clone(),
                vagrantfile: self.vagrantfile.clone(),
                info: self.info.clone(),
            },
            keep_identity: self.no_reset,
            name: self.box_name.clone(),
            version: self.box_version.clone(),
        };
        let packaged = machine::package(&app.ui.cx(), &fleet, &target, &request)?;
        if app.ui.json() {
            app.ui.print_result("box", &packaged)?;
        }
        for line in self.outcome(&target.name, &packaged) {
            app.ui.say(&line);
        }
        Ok(0)
    }

    fn outcome(&self, name: &str, packaged: &Packaged) -> Vec<String> {
        let Packaged { path, size, sha256, halted } = packaged;
        let path = path.display();
        let mut lines = vec![format!("==> {name}: {path} is written ({}, sha256:{sha256})", text::bytes(*size))];
        if *halted {
            lines.push(format!("==> {name}: was halted for it; `vbox-rs up {name}` starts it again"));
        }
        let wish = if self.box_name.is_some() { "" } else { "--name NAME " };
        lines.push(format!("==> {name}: `vbox-rs box add {wish}{path}` adds it"));
        lines
    }
}
