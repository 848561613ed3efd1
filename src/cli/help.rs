//! `help`.

use clap::Args;

use super::{App, Done, Error};
use crate::error::{Exit, Failure};
use crate::ui::Table;

/// Tell about a command, exit-codes, machine-file, or keys
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  vbox-rs help up
  vbox-rs help box add
  vbox-rs help exit-codes
  vbox-rs help machine-file
  vbox-rs help keys          every key of the machine file, with comments")]
pub(super) struct Help {
    /// A command, `exit-codes`, `machine-file` or `keys`
    topic: Vec<String>,
}

impl Help {
    pub(super) fn run(&self, app: &App) -> Done {
        let words: Vec<&str> = self.topic.iter().map(String::as_str).collect();
        match words[..] {
            ["exit-codes"] if app.ui.json() => app.ui.print_json(&codes_json())?,
            ["exit-codes"] => app.ui.print(&codes())?,
            ["machine-file"] => app.ui.print(MACHINE_FILE)?,
            ["keys"] => app.ui.print(KEYS)?,
            _ => return Ok(command_help(&self.topic)),
        }
        Ok(0)
    }
}

fn codes() -> String {
    let mut table = Table::new(["CODE", "MEANING"]);
    for exit in Exit::ALL {
        table.row([exit.code().to_string(), exit.meaning().into()]);
    }
    table.render()
        + "\n`ssh` and `exec` end with the guest command's own code; 255 is the OpenSSH client's own failure.\n"
}

fn codes_json() -> serde_json::Value {
    Exit::ALL.iter().map(|exit| serde_json::json!({ "code": exit.code(), "meaning": exit.meaning() })).collect()
}

/// Prints what `COMMAND --help` prints; a word that is no command is answered with the nearest.
fn command_help(words: &[String]) -> u8 {
    let args = ["vbox-rs"].into_iter().chain(words.iter().map(String::as_str)).chain(["--help"]);
    match super::command().try_get_matches_from(args) {
        Err(told) => super::tell_usage(&told),
        Ok(_) => Exit::Ok.code(),
    }
}

/// `vbox-rs-box-add` for `box add`; aliases are told by the command's own name.
pub(super) fn full_name(words: &[String]) -> Result<String, Failure> {
    let root = super::command();
    let mut command = &root;
    let mut name = root.get_name().to_owned();
    for word in words {
        command = command.find_subcommand(word).ok_or_else(|| Error::NoTopic { topic: words.join(" ") })?;
        name = format!("{name}-{}", command.get_name());
    }
    Ok(name)
}

const MACHINE_FILE: &str = "\
The machine file `Vagrantfile` (or `Vagrantfile.toml`) is TOML. It lies in the project's folder; commands look for it
there and above. `vbox-rs init` writes one with comments, `vbox-rs validate` checks it, `vbox-rs config` shows how it is
understood.

  box = \"debian/bookworm64\"        # name, URL, or path (.box, .qcow2, .img)
  box_version = \"~> 12.0\"
  hostname = \"web\"
  cpus = 2
  memory = \"2 GiB\"
  disk = \"20 GiB\"                  # grows disk, partition and file system

  [[forwarded_port]]               # 127.0.0.1:8080 leads to port 80 of the guest
  guest = 80
  host = 8080                      # left out: a free one is chosen and shown

  [[synced_folder]]                # copied by `up`, `reload` and `rsync`
  host = \"./site\"
  guest = \"/srv/www\"

  [[provision]]                    # run once in a new machine
  type = \"shell\"
  inline = \"apt-get install -y nginx\"

Several machines: each inherits what stands above. Lists are appended to the inherited ones, everything else overrides.

  box = \"debian/bookworm64\"

  [machines.web]
  primary = true                   # `vbox-rs ssh` means this one

  [[machines.web.forwarded_port]]
  guest = 80

  [machines.db]
  memory = \"4 GiB\"
  depends_on = [\"web\"]

Every key, with comments: `vbox-rs help keys`.
";

/// The example that shows every key, as it lies in the repository.
const KEYS: &str = include_str!("../../Vagrantfile.example");

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_guides_machine_files_are_valid() {
        let (one, several) = MACHINE_FILE.split_once("Several machines").unwrap();
        for guide in [one, several] {
            let lines: Vec<_> = guide.lines().filter_map(|line| line.strip_prefix("  ")).collect();
            let found = crate::config::parse(&lines.join("\n"), Path::new("/p/Vagrantfile"), Path::new("/p"));
            let (project, warnings) = found.unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((project.machines[0].box_name.as_deref(), warnings.len()), (Some("debian/bookworm64"), 0));
        }
    }

    #[test]
    fn every_code_is_in_the_table() {
        let codes = codes();
        for exit in Exit::ALL {
            assert!(codes.contains(&format!("\n{}  ", exit.code())) || codes.contains(&format!("\n{} ", exit.code())));
        }
    }
}
