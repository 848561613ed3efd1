//! `completions`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap_complete::Shell;

use super::{App, Done};

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs completions bash > ~/.local/share/bash-completion/completions/vbox-rs
  vbox-rs completions zsh > ~/.zfunc/_vbox-rs
  vbox-rs completions fish > ~/.config/fish/completions/vbox-rs.fish")]
pub(super) struct Completions {
    /// The shell
    #[arg(value_parser = shell())]
    shell: Shell,
}

/// The shells that a Linux user has.
fn shell() -> impl TypedValueParser<Value = Shell> {
    PossibleValuesParser::new(["bash", "zsh", "fish"]).map(|name| match name.as_str() {
        "zsh" => Shell::Zsh,
        "fish" => Shell::Fish,
        _ => Shell::Bash,
    })
}

impl Completions {
    pub(super) fn run(&self, app: &App) -> Done {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut super::command(), "vbox-rs", &mut script);
        app.ui.print(&String::from_utf8_lossy(&script))?;
        Ok(0)
    }
}
