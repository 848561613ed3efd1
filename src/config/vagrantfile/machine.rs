//! Runs a machine file and makes the machines that it defines.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::Spanned;

use super::apply::{Applying, Gathered};
use super::host::Policy;
use super::limit;
use super::plugins;
use super::provide::PREFERRED;
use super::ruby::{Bounds, Flow, Host, HostObject, Interp, Proc, StopKind, Value};
use super::section::{Config, Kind, Section, Setting};
use super::vagrant;
use crate::config::layer::{Layer, Paths};
use crate::config::read::Reader;
use crate::config::resolve::Machine;
use crate::config::{DEFAULT, MOST_MACHINES, check};

/// A machine that `config.vm.define` names.
pub struct Defined {
    pub name: String,
    pub at: super::ruby::At,
    primary: Option<bool>,
    autostart: Option<bool>,
    blocks: Vec<Rc<Proc>>,
    pub config: Rc<Config>,
    /// What the whole file said when the machine's own blocks had run: they may add to it, and those of later machines
    /// may, too.
    pub above: Rc<Config>,
}

/// What a run is given besides the file.
pub struct Sources<'a> {
    /// The machine file, and its text.
    pub file: &'a Path,
    pub text: &'a str,
    /// The user's own file, which all projects start from.
    pub user: Option<(PathBuf, String)>,
    /// Whether the file may run commands and change files.
    pub trusted: bool,
}

/// The machines of the file; problems go to the reader. Also the other files that were run.
pub fn machines(reader: &Reader, sources: &Sources<'_>, paths: &Paths<'_>) -> (Vec<Machine>, Vec<PathBuf>) {
    let mut installed = Vec::new();
    // A file that installs plugins by itself starts Vagrant anew then; once is enough.
    for round in 0..2 {
        let policy = Rc::new(Policy::new(paths.root, paths.home.clone(), sources.trusted));
        policy.installed.borrow_mut().append(&mut installed);
        let mut ruby = Interp::new(Rc::clone(&policy) as Rc<dyn Host>, Bounds::default());
        let vagrant = vagrant::define(&mut ruby, Rc::clone(&policy.installed));
        let machines = match run(&mut ruby, &vagrant, sources) {
            Ok(levels) => made(&mut ruby, reader, paths, &levels, &vagrant),
            Err(_) if round == 0 && *policy.again.borrow() && !policy.installed.borrow().is_empty() => {
                installed = policy.installed.take();
                continue;
            }
            Err(flow) => {
                tell(&mut ruby, reader, flow);
                Vec::new()
            }
        };
        let printed = policy.printed.borrow();
        if !printed.trim().is_empty() {
            reader.note(format!("the file says: {}", printed.trim_end())).push();
        }
        let files = ruby.files.iter().skip(1).map(|file| file.path.clone()).collect();
        return (machines, files);
    }
    (Vec::new(), Vec::new())
}

/// What the files wrote: of the user's own file, of the machine file, of each machine.
struct Levels {
    user: Rc<Config>,
    root: Rc<Config>,
    defined: Vec<Defined>,
}

/// Runs the files, then the blocks of `Vagrant.configure`, then those of the machines: as Vagrant does, which is why files
/// may use below what they define further down.
fn run(ruby: &mut Interp, vagrant: &vagrant::Vagrant, sources: &Sources<'_>) -> Result<Levels, Flow> {
    ruby.run(sources.file.to_owned(), sources.text)?;
    let of_project = vagrant.blocks.take();
    if let Some((path, text)) = &sources.user {
        ruby.run(path.clone(), text)?;
    }
    let of_user = vagrant.blocks.take();
    let (user, root) = (Config::new(), Config::new());
    for (blocks, config) in [(of_user, &user), (of_project, &root)] {
        for block in &blocks {
            ruby.yield_to(block, vec![Value::Host(Rc::clone(config) as Rc<dyn HostObject>)])?;
        }
    }
    let mut defined: Vec<Defined> = Vec::new();
    let calls = user.take_defined().into_iter().chain(root.take_defined());
    for setting in calls.take(2 * MOST_MACHINES) {
        define(ruby, &mut defined, &setting, &root)?;
    }
    let mut above = root.until_now();
    for machine in &mut defined {
        ruby.at = machine.at;
        for block in &machine.blocks {
            ruby.yield_to(block, vec![Value::Host(Rc::clone(&machine.config) as Rc<dyn HostObject>)])?;
        }
        if root.size() != above.size() {
            above = root.until_now();
        }
        machine.above = Rc::clone(&above);
    }
    limit::check(ruby, &user, &root, &defined)?;
    Ok(Levels { user, root, defined })
}

fn define(ruby: &mut Interp, defined: &mut Vec<Defined>, setting: &Setting, root: &Rc<Config>) -> Result<(), Flow> {
    ruby.at = setting.at;
    let name = ruby.to_s(&setting.value())?;
    let index = defined.iter().position(|other| other.name == name).unwrap_or_else(|| {
        let (config, above, blocks) = (Config::new(), Rc::clone(root), Vec::new());
        defined.push(Defined { name, at: setting.at, primary: None, autostart: None, blocks, config, above });
        defined.len() - 1
    });
    let Some(machine) = defined.get_mut(index) else { return Ok(()) };
    for (key, value) in Applying::options(setting) {
        match &*key {
            "primary" => machine.primary = Some(value.truthy()),
            "autostart" => machine.autostart = Some(value.truthy()),
            _ => {}
        }
    }
    machine.blocks.extend(setting.block.clone());
    Ok(())
}

fn made(
    ruby: &mut Interp,
    reader: &Reader,
    paths: &Paths<'_>,
    levels: &Levels,
    vagrant: &vagrant::Vagrant,
) -> Vec<Machine> {
    let mut applying = Applying { ruby, reader, paths, said: HashSet::new(), gathered: Gathered::default() };
    for (at, name) in vagrant.required.borrow().iter() {
        if let Some((why, changes)) = plugins::why_not(name) {
            applying.left_out(*at, &format!("the plugin `{name}`"), why, changes);
        }
    }
    for at in vagrant.own.borrow().iter() {
        applying.left_out(*at, "the file's own plugin", "plugins of Vagrant do not run here", true);
    }
    for at in vagrant.old.borrow().iter() {
        applying.left_out(*at, "version 1 of the configuration", "its settings are read as those of version 2", false);
    }
    let Levels { user, root, defined } = levels;
    if defined.is_empty() {
        let layer = one(&mut applying, &[user, root]);
        return vec![Machine { name: DEFAULT.into(), layer, ..Machine::default() }];
    }
    if let Some(machine) = defined.get(MOST_MACHINES) {
        let note = reader.error(format!("more than {MOST_MACHINES} machines"));
        note.at(Applying::span(machine.at), "").help("divide them among several projects").push();
    }
    let mut machines = Vec::new();
    for machine in defined.iter().take(MOST_MACHINES) {
        let span = Applying::span(machine.at);
        if let Err(wrong) = check::machine_name(&machine.name) {
            reader.error(format!("bad name of a machine: `{}`", machine.name)).at(span.clone(), wrong).push();
        }
        let mut layer = one(&mut applying, &[user, &machine.above, &machine.config]);
        layer.autostart = machine.autostart;
        machines.push(Machine {
            name: machine.name.clone(),
            primary: machine.primary.map(|primary| Spanned::new(span.clone(), primary)),
            span: Some(span),
            depends_on: Vec::new(),
            layer,
        });
    }
    machines
}

/// One machine: the file's settings, its own, then what its provider's blocks override.
fn one(applying: &mut Applying<'_>, configs: &[&Rc<Config>]) -> Layer {
    let mut layer = Layer::default();
    let overrides = Config::new();
    let (provider, said) = match provided(applying, configs, &overrides) {
        Ok(said) => said,
        Err(flow) => {
            tell(applying.ruby, applying.reader, flow);
            return layer;
        }
    };
    for (level, config) in configs.iter().copied().chain([&overrides]).enumerate() {
        applying.gathered.level = level;
        for (name, log) in config.logs() {
            for setting in &log {
                match &*name {
                    "vm" => applying.vm(&mut layer, setting),
                    "ssh" => applying.ssh(&mut layer, setting),
                    other => applying.plugin(&mut layer, other, setting),
                }
            }
        }
    }
    applying.conclude(&mut layer);
    for setting in said.log.borrow().iter() {
        applying.provider(&mut layer, &provider, setting);
    }
    layer
}

/// Runs the blocks of the one provider that counts.
fn provided(
    applying: &mut Applying<'_>,
    configs: &[&Rc<Config>],
    overrides: &Rc<Config>,
) -> Result<(String, Rc<Section>), Flow> {
    let calls: Vec<_> = configs.iter().flat_map(|config| config.log("vm")).collect();
    let mut blocks: Vec<(String, Setting, Rc<Proc>)> = Vec::new();
    for setting in calls.iter().filter(|setting| &*setting.name == "provider") {
        if let (Some(name), Some(block)) = (setting.value().text(), setting.block.clone()) {
            blocks.push((name.to_string(), setting.clone(), block));
        }
    }
    // The first version's `config.vm.customize` is VirtualBox's.
    let old: Vec<_> = calls.iter().filter(|setting| &*setting.name == "customize").cloned().collect();
    let named = |name: &&&str| {
        blocks.iter().any(|(other, _, _)| other == **name) || (**name == "virtualbox" && !old.is_empty())
    };
    let Some(chosen) = PREFERRED.iter().find(named).map(|name| (*name).to_owned()) else {
        for (name, setting, _) in &blocks {
            applying.left_out(setting.at, &format!("the block of the provider `{name}`"), "machines run on QEMU", true);
        }
        return Ok((String::new(), Section::new("no provider", Kind::Provider)));
    };
    let section = Section::new(&format!("the provider {chosen}"), Kind::Provider);
    if chosen == "virtualbox" {
        section.log.borrow_mut().extend(old);
    }
    for (_, setting, block) in blocks.iter().filter(|(name, _, _)| *name == chosen) {
        applying.ruby.at = setting.at;
        let args = vec![
            Value::Host(Rc::clone(&section) as Rc<dyn HostObject>),
            Value::Host(Rc::clone(overrides) as Rc<dyn HostObject>),
        ];
        applying.ruby.yield_to(block, args)?;
    }
    Ok((chosen, section))
}

/// Files the error that ended a run.
fn tell(ruby: &mut Interp, reader: &Reader, flow: Flow) {
    let at = ruby.at;
    let mut refused = false;
    let (message, help) = match flow {
        Flow::Raise(exception) => {
            let class = ruby.class_of(&exception).name.borrow().to_string();
            (format!("{}: {class}", ruby.message_of(&exception)), None)
        }
        Flow::Stop(stop) => match stop.kind {
            StopKind::Unsupported => (format!("not understood: {}", stop.message), None),
            StopKind::Refused => {
                refused = true;
                let help = "if you trust the file, `--trust` lets it run commands and change files on this computer";
                (stop.message, Some(help))
            }
            StopKind::Bound | StopKind::Exit(_) => (stop.message, None),
        },
        _ => ("a jump that leads nowhere".to_owned(), None),
    };
    let message =
        if at.file == 0 { message } else { format!("{}:{}: {message}", ruby.file_path(at.file), ruby.line_of(at)) };
    let note = reader.error(message).at(Applying::span(at), "");
    let note = if refused { note.refused() } else { note };
    match help {
        Some(help) => note.help(help).push(),
        None => note.push(),
    }
}
