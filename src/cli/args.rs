//! Arguments that several commands share.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::App;
use crate::config::spec::ProviderKind;
use crate::error::Failure;
use crate::machine::{self, BridgeChoice, Fleet, Target, UpOptions};

/// Which machines.
#[derive(Debug, Args)]
pub(super) struct Machines {
    /// Names, /regular expressions/ or beginnings of ids
    #[arg(value_name = "MACHINE")]
    pub names: Vec<String>,
}

/// Which machine.
#[derive(Debug, Args)]
pub(super) struct OneMachine {
    /// Name or beginning of its id; needed where the project has several and none is primary
    #[arg(value_name = "MACHINE")]
    pub name: Option<String>,
}

/// `--[no-]parallel`.
#[derive(Debug, Args)]
pub(super) struct Parallel {
    /// Several machines at once (default)
    #[arg(long, overrides_with = "no_parallel")]
    parallel: bool,
    /// One machine after the other
    #[arg(long)]
    no_parallel: bool,
}

impl Parallel {
    /// Whether to work on several machines at once.
    pub(super) fn wanted(&self) -> bool {
        self.parallel || !self.no_parallel
    }
}

/// `--yes`.
#[derive(Debug, Args)]
pub(super) struct Agreement {
    /// Agree to what machines need changed on this computer (libvirt's network made or started)
    #[arg(short, long)]
    yes: bool,
}

impl Agreement {
    /// Changes this computer as a start of these machines needs it, where the user agrees. Where there is nobody to ask,
    /// the start says what is missing.
    pub(super) fn seek(
        &self,
        app: &App,
        fleet: &Fleet,
        targets: &[Target],
        options: &UpOptions,
    ) -> Result<(), Failure> {
        let cx = app.ui.cx();
        for wish in machine::host_wishes(&cx, fleet, targets, options) {
            let what = wish.what();
            if self.yes || (app.ui.can_ask() && app.ui.confirm(&what, "--yes")?) {
                wish.grant(&cx)?;
                app.ui.say(&format!("agreed to: {what}"));
            }
        }
        Ok(())
    }
}

/// Asks for the interface of each public network that leaves it open. What is not answered is told by the start. `anew`:
/// machines that run are started anew.
pub(super) fn choose_bridges(
    app: &App,
    fleet: &Fleet,
    targets: &[Target],
    options: &UpOptions,
    anew: bool,
) -> Result<Vec<BridgeChoice>, Failure> {
    let mut choices = Vec::new();
    if app.ui.can_ask() {
        for wish in machine::bridge_wishes(&app.ui.cx(), fleet, targets, options, anew) {
            let answer = app.ui.choose(&wish.question(), &wish.among)?;
            choices.extend(answer.and_then(|place| wish.answered(place)));
        }
    }
    Ok(choices)
}

/// `--[no-]provision`, `--provision-with`.
#[derive(Debug, Args)]
pub(super) struct Provisioning {
    /// Run provisioners even if they ran before
    #[arg(long, overrides_with = "no_provision")]
    provision: bool,
    /// Run no provisioners
    #[arg(long)]
    no_provision: bool,
    /// Run only these provisioners, by name or type
    #[arg(long, value_name = "NAME", value_delimiter = ',', conflicts_with = "no_provision")]
    provision_with: Vec<String>,
}

impl Provisioning {
    /// What `--provision-with` names.
    pub(super) fn names(&self) -> &[String] {
        &self.provision_with
    }

    /// As `machine` wants them.
    pub(super) fn options(&self) -> UpOptions {
        let provision = match (self.provision || !self.provision_with.is_empty(), self.no_provision) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        UpOptions { provision, provision_with: self.provision_with.clone(), ..UpOptions::default() }
    }
}

/// Reads a provider's name.
pub(super) fn provider() -> impl TypedValueParser<Value = ProviderKind> {
    PossibleValuesParser::new(ProviderKind::ALL.iter().map(|kind| kind.name()))
        .map(|name| ProviderKind::ALL.iter().copied().find(|kind| kind.name() == name).unwrap_or(ProviderKind::Qemu))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Sample {
        #[command(flatten)]
        parallel: Parallel,
        #[command(flatten)]
        provisioning: Provisioning,
        #[arg(long, value_parser = provider())]
        provider: Option<ProviderKind>,
    }

    #[test]
    fn the_last_of_two_opposites_counts() {
        let cases: [(&[&str], bool, Option<bool>); 6] = [
            (&[], true, None),
            (&["--no-parallel"], false, None),
            (&["--no-parallel", "--parallel"], true, None),
            (&["--provision"], true, Some(true)),
            (&["--no-provision"], true, Some(false)),
            (&["--provision-with", "a,b"], true, Some(true)),
        ];
        for (args, parallel, provision) in cases {
            let sample = Sample::try_parse_from([&["x"], args].concat()).unwrap();
            assert_eq!(sample.parallel.wanted(), parallel, "{args:?}");
            assert_eq!(sample.provisioning.options().provision, provision, "{args:?}");
        }
        let sample = Sample::try_parse_from(["x", "--provider", "libvirt"]).unwrap();
        assert_eq!(sample.provider, Some(ProviderKind::Libvirt));
        assert!(Sample::try_parse_from(["x", "--provider", "hyperv"]).is_err());
    }
}
