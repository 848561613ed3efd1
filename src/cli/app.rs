//! What commands share: whom to talk to, where things lie, which machines are meant.

use std::cell::Cell;
use std::env;
use std::path::{Path, PathBuf};

use super::{Error, Global};
use crate::config;
use crate::config::Reading;
use crate::config::spec::{Project, ProviderKind};
use crate::error::{Exit, Failure};
use crate::machine::{self, Fared, Fleet, Order, Target, Unnamed};
use crate::progress::Cx;
use crate::store::Dirs;
use crate::ui::{Settings, Ui};

/// One run of the program.
#[derive(Debug)]
pub(super) struct App {
    pub ui: Ui,
    global: Global,
    /// The provider of machines that are made now, where the command line or the environment says.
    provider: Cell<Option<ProviderKind>>,
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
        Self { ui, global, provider: Cell::new(default_provider()) }
    }

    /// `--provider` counts more than the environment.
    pub(super) fn choose_provider(&self, asked: Option<ProviderKind>) {
        self.provider.set(asked.or(self.provider.get()));
    }

    /// The provider of machines that are made now and of which the machine file says nothing, where anybody says.
    pub(super) fn default_provider(&self) -> Option<ProviderKind> {
        self.provider.get()
    }

    fn reading<'a>(&self, trusting: Option<&'a Dirs>) -> Reading<'a> {
        Reading { trusting, provider: self.provider.get() }
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
        Ok(Fleet::new(Self::dirs()?, self.waits(), self.default_provider()))
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
        let (project, warnings) = self.load(&config::find(&self.start()?)?)?;
        self.tell_warnings(&warnings);
        Ok(project)
    }

    /// Reads a machine file. Where it wants what takes the user's trust, the user is asked, if there is one to ask.
    pub(super) fn load(&self, file: &Path) -> Result<(Project, Vec<config::Problem>), Failure> {
        if self.global.trust {
            return Ok(config::load_as(file, self.reading(Some(&Self::dirs()?)))?);
        }
        let error = match config::load_as(file, self.reading(None)) {
            Err(error) if error.wants_trust() => error,
            other => return Ok(other?),
        };
        if let config::Error::Invalid { problems, .. } = &error
            && self.ui.can_ask()
        {
            self.ui.block(&config::render(problems, self.ui.colors()));
            let question = "Trust this machine file, so that it may run commands and change files on this computer";
            if self.ui.confirm(question, "--trust")? {
                return Ok(config::load_as(file, self.reading(Some(&Self::dirs()?)))?);
            }
        }
        Err(error.into())
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
            Ok(file) => match self.read(&file, tell) {
                Ok((project, warnings)) => {
                    if tell {
                        self.tell_warnings(&warnings);
                    }
                    Ok(Some(project))
                }
                Err(_) if by_id => Ok(None),
                Err(error) => Err(error),
            },
            Err(_) if by_id => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whoever only looks or stops is not asked for trust.
    fn read(&self, file: &Path, asks: bool) -> Result<(Project, Vec<config::Problem>), Failure> {
        if !asks && !self.global.trust {
            return Ok(config::load_as(file, self.reading(None))?);
        }
        let (project, problems) = self.load(file)?;
        if !problems.iter().any(|problem| problem.refused) || !self.ui.can_ask() {
            return Ok((project, problems));
        }
        self.ui.block(&config::render(&problems, self.ui.colors()));
        let question = "Trust this machine file, so that its triggers may run commands on this computer";
        if self.ui.confirm(question, "--trust")? {
            return Ok(config::load_as(file, self.reading(Some(&Self::dirs()?)))?);
        }
        // They were shown.
        Ok((project, Vec::new()))
    }

    /// The machines that `names` mean, for commands that only look or stop: what is odd about the machine file is not
    /// their matter. Where it cannot be used at all, what is recorded of the project serves them as well.
    pub(super) fn targets(&self, fleet: &Fleet, names: &[String], unnamed: Unnamed) -> Result<Vec<Target>, Failure> {
        let error = match self.project_for(names, false) {
            Ok(project) => return fleet.targets(project.as_ref(), names, unnamed),
            Err(error) => error,
        };
        let start = self.start()?;
        let Some(targets) = fleet.recorded(config::find(&start).ok().as_deref(), &start, names, unnamed)? else {
            return Err(error);
        };
        let names: Vec<String> = targets.iter().map(|target| format!("`{}`", target.name)).collect();
        let going_on = format!("going on with what is recorded of this project: {}", crate::ui::text::list(&names));
        self.ui.warn(&format!("{}; {going_on}", in_one_line(&error)));
        Ok(targets)
    }

    /// The machines that `names` mean, for commands that do what the machine file says; what is odd about it is told.
    pub(super) fn targets_to_make(
        &self,
        fleet: &Fleet,
        names: &[String],
        unnamed: Unnamed,
    ) -> Result<Vec<Target>, Failure> {
        let project = self.project_for(names, true).inspect_err(|_| self.tell_what_works(fleet))?;
        fleet.targets(project.as_ref(), names, unnamed)
    }

    /// What can be done with the machines of a project whose machine file cannot be used.
    fn tell_what_works(&self, fleet: &Fleet) {
        let recorded = self.start().ok().and_then(|start| {
            let file = config::find(&start).ok();
            fleet.recorded(file.as_deref(), &start, &[], Unnamed::All).ok().flatten()
        });
        if let Some(target) = recorded.and_then(|targets| targets.into_iter().next()) {
            let id = target.id.map(crate::store::MachineId::short).unwrap_or_default();
            self.ui.say(&format!(
                "without the machine file `status`, `ssh`, `logs`, `halt`, `suspend` and `destroy` still work, by name or by \
                 id (`vbox-rs ssh {id}`)"
            ));
        }
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

    /// Does the same to several machines, in an order, several at once where `parallel`; each is told under its name.
    pub(super) fn each<T: Send>(
        &self,
        fleet: &Fleet,
        targets: &[Target],
        (order, parallel): (Order, bool),
        work: impl Fn(&Cx, &Target) -> Result<T, Failure> + Sync,
    ) -> Vec<Fared<T>> {
        let fared = machine::each(&self.ui.cx(), fleet, targets, order, parallel, |cx, target| {
            let result = work(cx, target);
            cx.waiting_ended();
            result
        });
        let told = |(target, (name, result)): (&Target, Fared<T>)| {
            (name, result.map_err(|failure| with_what_is_left(fleet, failure, target)))
        };
        targets.iter().zip(fared).map(told).collect()
    }

    /// Ends a command that has nothing to report but who is done: `done` names what was done.
    pub(super) fn finish<T>(
        &self,
        done: &str,
        fleet: &Fleet,
        targets: &[Target],
        fared: &[Fared<T>],
    ) -> Result<u8, Failure> {
        if self.ui.json() {
            let fine: Vec<&str> = fared.iter().filter(|(_, r)| r.is_ok()).map(|(name, _)| name.as_str()).collect();
            self.ui.print_result(done, &fine)?;
        }
        Ok(self.conclude_with_states(fleet, targets, fared))
    }

    /// As `conclude`, and says in which state machines are where one of several failed.
    pub(super) fn conclude_with_states<T>(&self, fleet: &Fleet, targets: &[Target], fared: &[Fared<T>]) -> u8 {
        let code = self.conclude(fared);
        if fared.len() > 1 && fared.iter().any(|(_, result)| result.is_err()) {
            let states = fleet.reports(&self.ui.cx(), targets);
            let states: Vec<_> = states.iter().map(|status| format!("{} is {}", status.name, status.state)).collect();
            self.ui.say(&format!("now {}", crate::ui::text::list(&states)));
        }
        code
    }

    /// Tells who failed and why. The code is that of the first that failed by itself, not because of another one.
    pub(super) fn conclude<T>(&self, fared: &[Fared<T>]) -> u8 {
        let many = fared.len() > 1;
        let mut code = Exit::Ok.code();
        let mut failed = Vec::new();
        for (name, result) in fared {
            if let Err(failure) = result {
                self.fail_with(failure, many.then_some(name));
                failed.push(name.as_str());
                if code == Exit::Ok.code() && !follows_another(failure) {
                    code = super::error::code(failure);
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

/// An interruption that does not say yet in which state the machine is.
fn with_what_is_left(fleet: &Fleet, failure: Failure, target: &Target) -> Failure {
    if failure.exit() != Exit::Interrupted || failure.chain() != "interrupted" {
        return failure;
    }
    let state = fleet.report(target).state;
    Error::Interrupted { left: format!("machine `{}` is {state}; the same command goes on", target.name) }.into()
}

/// Whether nothing was tried, because another machine failed.
fn follows_another(failure: &Failure) -> bool {
    matches!(failure.downcast_ref(), Some(machine::Error::DependencyFailed { .. }))
}

/// What is wrong with a machine file, its first problem for all of them.
fn in_one_line(failure: &Failure) -> String {
    let chain = failure.chain();
    let first = chain.lines().next().unwrap_or_default();
    match failure.downcast_ref() {
        Some(config::Error::Invalid { problems, .. }) => {
            let problem = problems.iter().find(|problem| problem.level == config::Level::Error);
            let problem = problem.map(|problem| format!(" ({})", problem.message)).unwrap_or_default();
            format!("{first}{problem}, `vbox-rs validate` shows where")
        }
        _ => first.to_owned(),
    }
}

/// What Vagrant's users have set; other hypervisors than ours are none.
fn default_provider() -> Option<ProviderKind> {
    ProviderKind::named(&env::var("VAGRANT_DEFAULT_PROVIDER").ok()?)
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
