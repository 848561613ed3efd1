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

use super::class::Object;
use super::flow::Result;
use super::host::Output;
use super::interp::Interp;
use super::names::Name;
use super::value::Value;

impl Interp {
    /// Backticks.
    pub fn run_command(&mut self, line: &str) -> Result<Value> {
        self.command_output(line).map(|output| Value::str(output.text))
    }

    /// What a command says; `$?` tells how it ended.
    pub fn command_output(&mut self, line: &str) -> Result<Output> {
        let answered = self.host.answer(line);
        let allowance = allowance::Allowance::new();
        let look = || self.host.may_look().then(|| answer::line(&*self.host, &allowance, line)).flatten();
        let answered = answered.or_else(look);
        self.charge(allowance.taken() >> 4)?;
        let output = if let Some(output) = answered {
            output
        } else {
            self.host.may_run(line).map_err(|why| self.refused(why))?;
            let folder = self.host.current_dir();
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
