//! Commands that a program runs: common harmless ones are answered without running anything, others are run where the
//! host allows it.

mod allowance;
mod answer;
mod awk;
mod filter;
mod git;
mod run;
mod words;

pub use answer::{processors, user_name};

use std::path::{Path, PathBuf};

use super::class::Object;
use super::flow::Result;
use super::host::{Host, Output, Stream};
use super::interp::Interp;
use super::names::Name;
use super::value::Value;

/// The host as it is seen from the folder that the program went to.
struct Here<'a> {
    host: &'a dyn Host,
    folder: &'a Path,
}

impl Host for Here<'_> {
    fn env(&self, name: &str) -> Option<String> {
        self.host.env(name)
    }
    fn envs(&self) -> Vec<(String, String)> {
        self.host.envs()
    }
    fn may_read(&self, path: &Path) -> bool {
        self.host.may_read(path)
    }
    fn may_run(&self, line: &str) -> std::result::Result<(), String> {
        self.host.may_run(line)
    }
    fn may_write(&self, path: &Path) -> std::result::Result<(), String> {
        self.host.may_write(path)
    }
    fn print(&self, text: &str, to: Stream) {
        self.host.print(text, to);
    }
    fn home(&self) -> PathBuf {
        self.host.home()
    }
    fn current_dir(&self) -> PathBuf {
        self.folder.to_owned()
    }
    fn arguments(&self) -> Vec<String> {
        self.host.arguments()
    }
}

impl Interp {
    /// Backticks.
    pub fn run_command(&mut self, line: &str) -> Result<Value> {
        self.command_output(line).map(|output| Value::str(output.text))
    }

    /// What a command says; `$?` tells how it ended.
    pub fn command_output(&mut self, line: &str) -> Result<Output> {
        let answered = self.host.answer(line);
        let folder = self.current_dir();
        let here = Here { host: &*self.host, folder: &folder };
        let allowance = allowance::Allowance::new();
        let look = || self.host.may_look().then(|| answer::line(&here, &allowance, line)).flatten();
        let answered = answered.or_else(look);
        self.charge(allowance.taken() >> 4)?;
        let output = if let Some(output) = answered {
            output
        } else {
            self.host.may_run(line).map_err(|why| self.refused(why))?;
            run::run(line, &folder, &self.host.envs()).map_err(|why| self.refused(why))?
        };
        self.grow(output.text.len())?;
        let status = Object::new(&self.class_named("Process::Status"));
        status.set("@exitstatus", Value::Int(output.status.into()));
        let status = Value::Object(status);
        self.globals.insert(Name::of("$CHILD_STATUS"), status.clone());
        self.globals.insert(Name::of("$?"), status);
        Ok(output)
    }
}
