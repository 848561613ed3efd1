//! Triggers (`[[trigger]]`): what is done before or after a command.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Script, ShellProvisioner};

/// A command that triggers go with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// `up`.
    Up,
    /// `halt`.
    Halt,
    /// `destroy`.
    Destroy,
    /// `provision`, not the provisioners of an `up`.
    Provision,
    /// `reload`.
    Reload,
    /// `suspend`.
    Suspend,
    /// `resume`.
    Resume,
}

impl Action {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Up, Self::Halt, Self::Destroy, Self::Provision, Self::Reload, Self::Suspend, Self::Resume];

    /// The command.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Halt => "halt",
            Self::Destroy => "destroy",
            Self::Provision => "provision",
            Self::Reload => "reload",
            Self::Suspend => "suspend",
            Self::Resume => "resume",
        }
    }
}

/// Whether a trigger comes before a command or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Before anything is done.
    Before,
    /// After everything went well.
    After,
}

/// When a trigger's turn has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Before these commands.
    Before(Vec<Action>),
    /// After them.
    After(Vec<Action>),
}

impl When {
    /// Before or after.
    pub fn moment(&self) -> Moment {
        match self {
            Self::Before(_) => Moment::Before,
            Self::After(_) => Moment::After,
        }
    }

    /// Which commands.
    pub fn actions(&self) -> &[Action] {
        match self {
            Self::Before(actions) | Self::After(actions) => actions,
        }
    }
}

/// What a failure of a trigger means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// The command fails.
    #[default]
    Halt,
    /// It is told, and the command goes on.
    Continue,
}

/// A command on this computer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostCommand {
    /// Its words, divided as a shell does but run without one, or the path of a script.
    #[serde(flatten)]
    pub script: Script,
    /// Arguments of the script.
    pub args: Vec<String>,
}

impl HostCommand {
    /// For messages.
    pub fn line(&self) -> String {
        match &self.script {
            Script::Inline(text) => text.trim().to_owned(),
            Script::Path(path) => {
                let path = path.display().to_string();
                std::iter::once(path).chain(self.args.iter().cloned()).collect::<Vec<_>>().join(" ")
            }
            Script::Url(url) => url.clone(),
        }
    }
}

/// Something that is done before or after a command, in this order: told, ended, run here, run in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trigger {
    /// For messages.
    pub name: Option<String>,
    /// When.
    #[serde(flatten)]
    pub when: When,
    /// Told.
    pub info: Option<String>,
    /// Told as a warning.
    pub warn: Option<String>,
    /// Ends the command with this exit code.
    pub abort: Option<u8>,
    /// Run on this computer, if the user trusts the file.
    pub run: Option<HostCommand>,
    /// Run in the guest.
    pub run_remote: Option<ShellProvisioner>,
    /// Exit codes of `run` that mean success.
    pub exit_codes: Vec<i32>,
    /// What its failure means.
    pub on_error: OnError,
    /// File and line, for messages.
    #[serde(skip)]
    pub place: String,
    /// Whether `run` may be run.
    #[serde(skip)]
    pub trusted: bool,
}

impl Trigger {
    /// One that does nothing.
    pub fn new(when: When) -> Self {
        Self {
            name: None,
            when,
            info: None,
            warn: None,
            abort: None,
            run: None,
            run_remote: None,
            exit_codes: vec![0],
            on_error: OnError::default(),
            place: String::new(),
            trusted: false,
        }
    }

    /// Whether it does nothing at all.
    pub fn is_empty(&self) -> bool {
        let says = self.info.is_some() || self.warn.is_some() || self.abort.is_some();
        !says && self.run.is_none() && self.run_remote.is_none()
    }

    /// Whether its turn has come.
    pub fn fires(&self, moment: Moment, action: Action) -> bool {
        self.when.moment() == moment && self.when.actions().contains(&action)
    }

    /// How messages speak of it: `name`, or "before up and reload".
    pub fn title(&self) -> String {
        if let Some(name) = &self.name {
            return format!("`{name}`");
        }
        let moment = match self.when.moment() {
            Moment::Before => "before",
            Moment::After => "after",
        };
        let names: Vec<_> = self.when.actions().iter().map(|action| format!("`{}`", action.name())).collect();
        format!("{moment} {}", names.join(", "))
    }
}
