//! `box`: one file per command.

mod add;
mod build;
mod gc;
mod info;
mod list;
mod outdated;
mod prune;
mod push;
mod remove;
mod repackage;
mod search;
mod update;
mod verify;

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
    Search(search::Search),
    Remove(remove::Remove),
    Outdated(outdated::Outdated),
    Update(update::Update),
    Prune(prune::Prune),
    Gc(gc::Gc),
    Verify(verify::Verify),
    Repackage(repackage::Repackage),
    Build(build::Build),
    Push(push::Push),
}

impl Box {
    pub(super) fn run(&self, app: &App) -> Done {
        match &self.command {
            BoxCommand::Add(args) => args.run(app),
            BoxCommand::List(args) => args.run(app),
            BoxCommand::Info(args) => args.run(app),
            BoxCommand::Search(args) => args.run(app),
            BoxCommand::Remove(args) => args.run(app),
            BoxCommand::Outdated(args) => args.run(app),
            BoxCommand::Update(args) => args.run(app),
            BoxCommand::Prune(args) => args.run(app),
            BoxCommand::Gc(args) => args.run(app),
            BoxCommand::Verify(args) => args.run(app),
            BoxCommand::Repackage(args) => args.run(app),
            BoxCommand::Build(args) => args.run(app),
            BoxCommand::Push(args) => args.run(app),
        }
    }
}
