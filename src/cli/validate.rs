//! `validate`.

use std::fmt::Write;

use clap::Args;

use super::{App, Done, Error};
use crate::config;
use crate::config::spec::{MachineSpec, ProviderKind};
use crate::error::Exit;
use crate::provider::{self, Boot, Devices, Finding, Level, Provider, VmPlan};
use crate::ui;

/// Check the machine file: every problem at once, with its line
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs validate
  vbox-rs validate --json | jq .problems")]
pub(super) struct Validate {
    /// Do not ask the provider whether it can do what the file wants
    #[arg(short = 'p', long)]
    ignore_provider: bool,
}

impl Validate {
    pub(super) fn run(&self, app: &App) -> Done {
        let file = config::find(&app.start()?)?;
        let (project, warnings) = app.load(&file)?;
        let findings: Vec<(&str, Finding)> = if self.ignore_provider {
            Vec::new()
        } else {
            let default = app.default_provider();
            let check = |spec| findings(spec, default).into_iter().map(move |finding| (name(spec), finding));
            project.machines.iter().flat_map(check).collect()
        };
        let good = !findings.iter().any(|(_, finding)| finding.level == Level::Bad);
        if app.ui.json() {
            let findings: Vec<_> = findings
                .iter()
                .map(|(machine, finding)| serde_json::json!({ "machine": machine, "finding": finding }))
                .collect();
            app.ui.print_json(&serde_json::json!({
                "file": project.file,
                "valid": good,
                "problems": warnings,
                "provider": findings,
            }))?;
            return Ok(if good { 0 } else { Exit::Provider.code() });
        }
        app.tell_warnings(&warnings);
        for (machine, finding) in &findings {
            app.ui.print(&format!("{machine}: {}\n", told(app, finding)))?;
        }
        if !good {
            return Err(Error::ProviderFindings.into());
        }
        let count = project.machines.len();
        let machines = if count == 1 { "1 machine".into() } else { format!("{count} machines") };
        app.ui.print(&format!("{} is valid: {machines}\n", project.file.display()))?;
        Ok(0)
    }
}

fn name(spec: &MachineSpec) -> &str {
    &spec.name
}

/// A finding and what mends it, as lines.
pub(super) fn told(app: &App, finding: &Finding) -> String {
    let (style, word) = match finding.level {
        Level::Good => (ui::GOOD, "ok"),
        Level::Warning => (ui::WARNING, "warning"),
        Level::Bad => (ui::BAD, "problem"),
    };
    let mut text = format!("{} {}", app.ui.paint(style, &format!("{word}:")), app.ui.neutral(&finding.text));
    for line in finding.fix.iter().flat_map(|fix| fix.lines()) {
        let _ = write!(text, "\n      {}", app.ui.neutral(line));
    }
    text
}

fn findings(spec: &MachineSpec, default: Option<ProviderKind>) -> Vec<Finding> {
    let kind = spec.provider.or(default).unwrap_or(ProviderKind::Qemu);
    let spec = &spec.for_provider(kind);
    match provider::provider(kind) {
        Some(provider) => provider.check(&sketch(spec, provider)),
        None => vec![Finding {
            level: Level::Bad,
            text: format!("this vbox-rs cannot drive {kind} yet"),
            fix: Some("leave `provider` out, or write `provider = \"qemu\"`".into()),
        }],
    }
}

/// As much of the plan as is known without the box.
fn sketch(spec: &MachineSpec, provider: &dyn Provider) -> VmPlan {
    let (networks, publics) = provider.networks(spec);
    VmPlan {
        name: spec.name.clone(),
        cpus: spec.cpus.unwrap_or(1),
        memory: spec.memory.unwrap_or(1024),
        disks: Vec::new(),
        boot: Boot::Disk,
        devices: Devices {
            firmware: spec.firmware,
            disk_bus: spec.disk_bus.unwrap_or_default(),
            nic: spec.nic.unwrap_or_default(),
            mac: spec.mac.clone(),
            networks: networks.to_vec(),
            publics: publics.to_vec(),
        },
        seed: None,
        seed_writable: false,
        tethered: false,
        forwards: Vec::new(),
        qemu: spec.provider_options.qemu.clone(),
        libvirt: spec.provider_options.libvirt.clone(),
        virtualbox: spec.provider_options.virtualbox.clone(),
    }
}
