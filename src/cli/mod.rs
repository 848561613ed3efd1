//! One file per command: arguments and printing, no decisions.
//!
//! [`main`] parses, runs and maps the outcome to an exit code. Nothing is started that the command does not need: no
//! thread, no runtime, no bar.

mod adopt;
mod app;
mod args;
mod box_;
mod completions;
mod config;
mod console;
mod destroy;
mod doctor;
mod error;
mod exec;
mod global_status;
mod halt;
mod help;
mod import;
mod init;
mod logs;
mod man;
mod openssh;
mod package;
mod port;
mod provision;
mod reload;
mod resume;
mod rsync;
mod ssh;
mod ssh_config;
mod status;
mod suspend;
mod timings;
mod up;
mod upload;
mod validate;
mod version;
mod wait;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use error::Error;

use self::app::App;
use crate::error::{Exit, Failure};

/// The code that the process ends with: one of [`Exit`], or the guest command's own.
type Done = Result<u8, Failure>;

/// Vagrant's workflow in one native binary
///
/// Machines are described in a machine file, made from boxes that are downloaded once, and reached over SSH.
#[derive(Debug, Parser)]
#[command(
    name = "vbox-rs",
    version,
    disable_version_flag = true,
    disable_help_subcommand = true,
    subcommand_required = true
)]
#[command(
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "\
Begin:
  vbox-rs init debian/bookworm64    write a machine file
  vbox-rs up                        make and start the machine
  vbox-rs ssh                       open a shell in it
  vbox-rs destroy                   remove it

A machine is named by its name in the project, by /regular expression/, or by the beginning of
its id from any directory. More: `vbox-rs help exit-codes`, `vbox-rs help machine-file`,
`vbox-rs help keys`."
)]
struct Cli {
    /// Print version
    #[arg(short = 'v', short_alias = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// JSON on standard output: one document for a report, one event per line for work
    #[arg(long, global = true)]
    json: bool,
    /// Vagrant's lines for programs on standard output: time,target,type,data
    #[arg(long, global = true, conflicts_with = "json")]
    machine_readable: bool,
    /// Say which programs are run, what the hypervisor is told, and when
    #[arg(long, global = true)]
    debug: bool,
    /// The time in front of each line on standard error
    #[arg(long, global = true)]
    timestamp: bool,
    /// Both --debug and --timestamp
    #[arg(long, global = true)]
    debug_timestamp: bool,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Colours even where they would be left out
    #[arg(long, global = true, overrides_with = "no_color")]
    color: bool,
    /// No colours (as with the variable NO_COLOR)
    #[arg(long, global = true)]
    no_color: bool,
    /// No bars and no questions, as if this were no terminal
    #[arg(long, global = true)]
    no_tty: bool,
    /// Fail at once when another command works on the same machine, instead of waiting for it
    #[arg(long, global = true)]
    no_wait: bool,
    /// Let the machine file run commands and change files on this computer; remembered until it changes
    #[arg(long, global = true)]
    trust: bool,
    /// Look for the machine file in DIR and above (as with the variable VBOX_RS_CWD)
    #[arg(short = 'C', long, global = true, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Up(up::Up),
    Ssh(ssh::Ssh),
    Exec(exec::Exec),
    SshConfig(ssh_config::SshConfig),
    Port(port::Port),
    Status(status::Status),
    GlobalStatus(global_status::GlobalStatus),
    Halt(halt::Halt),
    Reload(reload::Reload),
    Suspend(suspend::Suspend),
    Resume(resume::Resume),
    Destroy(destroy::Destroy),
    Provision(provision::Provision),
    Rsync(rsync::Rsync),
    Upload(upload::Upload),
    Wait(wait::Wait),
    Console(console::Console),
    Logs(logs::Logs),
    Timings(timings::Timings),
    Package(package::Package),
    Validate(validate::Validate),
    Config(config::Config),
    Import(import::Import),
    Adopt(adopt::Adopt),
    Box(box_::Box),
    Doctor(doctor::Doctor),
    Version(version::Version),
    Completions(completions::Completions),
    Man(man::Man),
    Help(help::Help),
}

/// Parses `args` (the program's name first), runs the command, and returns the code for the process.
pub fn main(args: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match command().try_get_matches_from(args).and_then(|mut found| Cli::from_arg_matches_mut(&mut found)) {
        Ok(cli) => cli,
        Err(error) => return tell_usage(&error),
    };
    let app = App::new(cli.global);
    run(&app, cli.command).unwrap_or_else(|failure| {
        app.fail(&failure);
        failure.exit().code()
    })
}

/// The definition that help, completions and man pages are made from.
pub fn command() -> clap::Command {
    Cli::command()
}

fn tell_usage(error: &clap::Error) -> u8 {
    // Help that nobody reads to its end (`| head`) is fine.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok.code(),
        _ => Exit::Usage.code(),
    }
}

fn run(app: &App, command: Command) -> Done {
    match command {
        Command::Init(args) => args.run(app),
        Command::Up(args) => args.run(app),
        Command::Ssh(args) => args.run(app),
        Command::Exec(args) => args.run(app),
        Command::SshConfig(args) => args.run(app),
        Command::Port(args) => args.run(app),
        Command::Status(args) => args.run(app),
        Command::GlobalStatus(args) => args.run(app),
        Command::Halt(args) => args.run(app),
        Command::Reload(args) => args.run(app),
        Command::Suspend(args) => args.run(app),
        Command::Resume(args) => args.run(app),
        Command::Destroy(args) => args.run(app),
        Command::Provision(args) => args.run(app),
        Command::Rsync(args) => args.run(app),
        Command::Upload(args) => args.run(app),
        Command::Wait(args) => args.run(app),
        Command::Console(args) => args.run(app),
        Command::Logs(args) => args.run(app),
        Command::Timings(args) => args.run(app),
        Command::Package(args) => args.run(app),
        Command::Validate(args) => args.run(app),
        Command::Config(args) => args.run(app),
        Command::Import(args) => args.run(app),
        Command::Adopt(args) => args.run(app),
        Command::Box(args) => args.run(app),
        Command::Doctor(args) => args.run(app),
        Command::Version(args) => args.run(app),
        Command::Completions(args) => args.run(app),
        Command::Man(args) => args.run(app),
        Command::Help(args) => args.run(app),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(command: &clap::Command, path: &str, visit: &mut dyn FnMut(&str, &clap::Command)) {
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            visit(&path, sub);
            all(sub, &path, visit);
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_an_example_that_starts_as_the_command_does() {
        all(&command(), "vbox-rs", &mut |path, command| {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(text.starts_with("Example") && text.contains(&format!("  {path}")), "{path}: {text:?}");
            assert!(command.get_about().is_some(), "{path} says what it does");
        });
    }
}
