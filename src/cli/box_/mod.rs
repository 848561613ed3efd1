//! `box`: one file per command.

mod add;
mod build;
mod info;
mod list;
mod remove;

use clap::{Args, Subcommand};

use super::args::provider;
use super::{App, Done, Error};

/// Manage the boxes on this computer
#[derive(Debug, Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  vbox-rs box list
  vbox-rs box add debian/bookworm64
  vbox-rs box add --name my/box ./my.box"
)]
pub(super) struct Box {
    #[command(subcommand)]
    command: BoxCommand,
}

#[derive(Debug, Subcommand)]
enum BoxCommand {
    Add(add::Add),
    List(list::List),
    Info(info::Info),
    Remove(remove::Remove),
    Build(build::Build),
}

impl Box {
    pub(super) fn run(&self, app: &App) -> Done {
        match &self.command {
            BoxCommand::Add(args) => args.run(app),
            BoxCommand::List(args) => args.run(app),
            BoxCommand::Info(args) => args.run(app),
            BoxCommand::Remove(args) => args.run(app),
            BoxCommand::Build(args) => args.run(app),
        }
    }
}
