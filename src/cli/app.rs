//! What commands share: whom to talk to, where things lie, which machines are meant.

use std::env;
use std::path::PathBuf;
use std::thread;

use super::{Error, Global};
use crate::config;
use crate::config::spec::Project;
use crate::error::{Exit, Failure};
use crate::machine::{Fared, Fleet, Target, Unnamed};
use crate::progress::Cx;
use crate::store::Dirs;
use crate::ui::{Settings, Ui};

/// One run of the program.
#[derive(Debug)]
pub(super) struct App {
    pub ui: Ui,
    global: Global,
}

impl App {
    pub(super) fn new(global: Global) -> Self {
        let color = match (global.color, global.no_color) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        let ui = Ui::new(Settings {
            json: global.json,
            quiet: global.quiet,
            color,
            no_tty: global.no_tty,
            machine_readable: global.machine_readable,
            timestamp: global.timestamp || global.debug_timestamp,
            debug: global.debug || global.debug_timestamp,
        });
        Self { ui, global }
    }

    /// `--no-tty`.
    pub(super) fn no_tty(&self) -> bool {
        self.global.no_tty
    }

    /// Whether to wait for other commands.
    pub(super) fn waits(&self) -> bool {
        !self.global.no_wait
    }

    /// Where things lie.
    pub(super) fn dirs() -> Result<Dirs, Failure> {
        Ok(Dirs::from_env()?)
    }

    pub(super) fn fleet(&self) -> Result<Fleet, Failure> {
        Ok(Fleet::new(Self::dirs()?, self.waits()))
    }

    /// Where the search for the machine file begins.
    pub(super) fn start(&self) -> Result<PathBuf, Failure> {
        let set = env::var_os("VBOX_RS_CWD").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        match self.global.directory.clone().or(set) {
            Some(dir) => Ok(std::path::absolute(&dir).unwrap_or(dir)),
            None => Ok(env::current_dir().map_err(Error::NoDirectory)?),
        }
    }

    /// The project; what is odd about its machine file is told.
    pub(super) fn project(&self) -> Result<Project, Failure> {
        let (project, warnings) = config::load(&config::find(&self.start()?)?)?;
        self.tell_warnings(&warnings);
        Ok(project)
    }

    /// Warnings about the machine file.
    pub(super) fn tell_warnings(&self, warnings: &[config::Problem]) {
        if !warnings.is_empty() {
            self.ui.block(&config::render(warnings, self.ui.colors()));
        }
    }

    /// The project, where there is one and the names need one: ids work from any directory, and with a machine file
    /// that is broken.
    fn project_for(&self, names: &[String], tell: bool) -> Result<Option<Project>, Failure> {
        let by_id = !names.is_empty() && names.iter().all(|name| looks_like_id(name));
        match config::find(&self.start()?) {
            Ok(file) => match config::load(&file) {
                Ok((project, warnings)) => {
                    if tell {
                        self.tell_warnings(&warnings);
                    }
                    Ok(Some(project))
                }
                Err(_) if by_id => Ok(None),
                Err(error) => Err(error.into()),
            },
            Err(_) if by_id => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The machines that `names` mean, for commands that only look or stop: what is odd about the machine file is not
    /// their matter.
    pub(super) fn targets(&self, fleet: &Fleet, names: &[String], unnamed: Unnamed) -> Result<Vec<Target>, Failure> {
        fleet.targets(self.project_for(names, false)?.as_ref(), names, unnamed)
    }

    /// The machines that `names` mean, for commands that do what the machine file says; what is odd about it is told.
    pub(super) fn targets_to_make(
        &self,
        fleet: &Fleet,
        names: &[String],
        unnamed: Unnamed,
    ) -> Result<Vec<Target>, Failure> {
        fleet.targets(self.project_for(names, true)?.as_ref(), names, unnamed)
    }

    /// The one machine that `name` means.
    pub(super) fn target(&self, fleet: &Fleet, name: Option<&str>) -> Result<Target, Failure> {
        let names: Vec<String> = name.into_iter().map(Into::into).collect();
        let mut targets = self.targets(fleet, &names, Unnamed::Single)?;
        match (targets.pop(), targets.is_empty()) {
            (Some(target), true) => Ok(target),
            (last, _) => {
                let names = targets.into_iter().chain(last).map(|target| target.name).collect();
                Err(Error::NotOne { asked: name.unwrap_or_default().into(), names }.into())
            }
        }
    }

    /// Does the same to several machines, at once where `parallel`; each is told under its name.
    pub(super) fn each<T: Send>(
        &self,
        targets: &[Target],
        parallel: bool,
        work: impl Fn(&Cx, &Target) -> Result<T, Failure> + Sync,
    ) -> Vec<Fared<T>> {
        let cx = self.ui.cx();
        let one = |target: &Target| {
            let cx = cx.for_machine(&target.name);
            let result = cx.check().map_err(Failure::from).and_then(|()| work(&cx, target));
            cx.waiting_ended();
            let result = result.map_err(|failure| self.with_what_is_left(failure, target));
            (target.name.clone(), result)
        };
        if !parallel || targets.len() < 2 {
            return targets.iter().map(one).collect();
        }
        thread::scope(|scope| {
            let one = &one;
            let running: Vec<_> = targets.iter().map(|target| scope.spawn(move || one(target))).collect();
            running.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume(panic))).collect()
        })
    }

    /// An interruption that does not say yet in which state the machine is.
    fn with_what_is_left(&self, failure: Failure, target: &Target) -> Failure {
        if failure.exit() != Exit::Interrupted || failure.chain() != "interrupted" {
            return failure;
        }
        match self.fleet().and_then(|fleet| fleet.status(target)) {
            Ok(status) => {
                let left = format!("machine `{}` is {}; the same command goes on", target.name, status.state);
                Error::Interrupted { left }.into()
            }
            Err(_) => failure,
        }
    }

    /// Ends a command that has nothing to report but who is done: `done` names what was done.
    pub(super) fn finish<T>(&self, done: &str, fared: &[Fared<T>]) -> Result<u8, Failure> {
        if self.ui.json() {
            let fine: Vec<&str> = fared.iter().filter(|(_, r)| r.is_ok()).map(|(name, _)| name.as_str()).collect();
            self.ui.print_result(done, &fine)?;
        }
        Ok(self.conclude(fared))
    }

    /// Tells who failed and why. The code is the first failure's.
    pub(super) fn conclude<T>(&self, fared: &[Fared<T>]) -> u8 {
        let many = fared.len() > 1;
        let mut code = Exit::Ok.code();
        let mut failed = Vec::new();
        for (name, result) in fared {
            if let Err(failure) = result {
                self.fail_with(failure, many.then_some(name));
                failed.push(name.as_str());
                if code == Exit::Ok.code() {
                    code = failure.exit().code();
                }
            }
        }
        if many && !failed.is_empty() {
            let fine: Vec<&str> = fared.iter().filter(|(_, r)| r.is_ok()).map(|(name, _)| name.as_str()).collect();
            let fine = if fine.is_empty() { "none".into() } else { crate::ui::text::list(&fine) };
            self.ui.say(&format!("done: {fine}; failed: {}", crate::ui::text::list(&failed)));
        }
        code
    }

    /// The failure that ends the command.
    pub(super) fn fail(&self, failure: &Failure) {
        self.fail_with(failure, None);
    }

    fn fail_with(&self, failure: &Failure, machine: Option<&str>) {
        match failure.downcast_ref() {
            // The carets are worth their colours.
            Some(config::Error::Invalid { problems, .. }) => {
                self.ui.block(&config::render(problems, self.ui.colors()));
                self.ui.fail_with_problems(failure, problems);
            }
            _ => self.ui.fail_with(failure, machine),
        }
    }
}

/// What a thread panicked with goes on in ours.
fn resume(panic: Box<dyn std::any::Any + Send>) -> ! {
    std::panic::resume_unwind(panic)
}

fn looks_like_id(name: &str) -> bool {
    name.len() >= 4 && name.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_a_name() {
        for (name, expected) in [("1a2b3c4d", true), ("web", false), ("abc", false), ("/x/", false), ("", false)] {
            assert_eq!(looks_like_id(name), expected, "{name}");
        }
    }
}
