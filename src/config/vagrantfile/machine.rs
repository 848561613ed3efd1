//! Runs a machine file and makes the machines that it defines.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::Spanned;

use super::apply::{Applying, Gathered};
use super::host::{Policy, Sealed};
use super::limit;
use super::plugins;
use super::provide::PREFERRED;
use super::ruby::{Bounds, Flow, Host, HostObject, Interp, Proc, StopKind, Value};
use super::section::{Config, Kind, Section, Setting};
use super::vagrant;
use crate::config::layer::{Layer, Paths};
use crate::config::read::Reader;
use crate::config::resolve::Machine;
use crate::config::spec::ProviderKind;
use crate::config::{DEFAULT, MOST_MACHINES, check};

/// More often no file is run: each time it learns of one more plugin.
const ROUNDS: usize = 20;

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
    /// Whose machines are made, where that is known.
    pub provider: Option<ProviderKind>,
}

/// The machines of the file; problems go to the reader. Also the other files that were run.
pub fn machines(reader: &Reader, sources: &Sources<'_>, paths: &Paths<'_>) -> (Vec<Machine>, Vec<PathBuf>) {
    let (mut installed, mut pretended) = (Vec::new(), Vec::new());
    // A file that installs plugins by itself starts Vagrant anew then; one that ends itself without a plugin is told that
    // it is there, which may show it the next one that is missing.
    for round in 1..=ROUNDS {
        let policy = Rc::new(Policy::new(paths.root, paths.home.clone(), sources.trusted));
        policy.installed.borrow_mut().append(&mut installed);
        let mut ruby = Interp::new(Rc::clone(&policy) as Rc<dyn Host>, Bounds::default());
        let vagrant = vagrant::define(&mut ruby, Rc::clone(&policy.installed));
        vagrant.pretended.borrow_mut().append(&mut pretended);
        let had = policy.installed.borrow().len();
        let machines = match run(&mut ruby, &vagrant, sources) {
            Ok(levels) => made(&mut ruby, reader, paths, &levels, (&vagrant, sources.provider)),
            Err(_) if had == 0 && *policy.again.borrow() && !policy.installed.borrow().is_empty() => {
                installed = policy.installed.take();
                continue;
            }
            Err(flow) if round < ROUNDS && gave_up(&flow) && !vagrant.denied.borrow().is_empty() => {
                (installed, pretended) = (policy.installed.take(), vagrant.pretended.take());
                pretended.append(&mut vagrant.denied.borrow_mut());
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
        let files = policy.looked_at.take().into_iter().filter(|path| path != sources.file).collect();
        return (machines, files);
    }
    (Vec::new(), Vec::new())
}

/// Why a provider's block does not count where no other does.
const NO_PROVIDER: &str = "machines run on QEMU, libvirt or VirtualBox";

/// Bounds of a box's own file, which says a few settings.
const OF_BOX: Bounds = Bounds { steps: 1_000_000, depth: 100, memory: 32 << 20, output: 64 << 10 };

/// What a box for `provider` says in its own file. Machines that it defines are ignored, as Vagrant does. The error says
/// what ended the run; what is wrong with single settings goes to the reader.
pub fn of_box(
    reader: &Reader,
    text: &str,
    included: Option<&str>,
    provider: &str,
    paths: &Paths<'_>,
) -> Result<Layer, String> {
    let mut ruby = Interp::new(Rc::new(Sealed::default()), OF_BOX);
    let vagrant = vagrant::define(&mut ruby, vagrant::Installed::default());
    let config = Config::new();
    if let Err(flow) = run_box(&mut ruby, &vagrant, &config, text, included) {
        let told = told(&mut ruby, flow);
        let line = ruby.line_of(ruby.at);
        return Err(format!("line {line}: {}", told.message));
    }
    config.take_defined();
    let (machine, said, gathered) = (DEFAULT.into(), HashSet::new(), Gathered::default());
    let mut applying =
        Applying { ruby: &mut ruby, reader, paths, machine, provider: ProviderKind::Qemu, said, gathered };
    Ok(one(&mut applying, &[&config], same_family(provider)))
}

fn run_box(
    ruby: &mut Interp,
    vagrant: &vagrant::Vagrant,
    config: &Rc<Config>,
    text: &str,
    included: Option<&str>,
) -> Result<(), Flow> {
    ruby.run("Vagrantfile".into(), text)?;
    if let Some(more) = included {
        ruby.run("include/_Vagrantfile".into(), more)?;
    }
    for block in &vagrant.blocks.take() {
        ruby.yield_to(block, vec![Value::Host(Rc::clone(config) as Rc<dyn HostObject>)])?;
    }
    Ok(())
}

/// Whose blocks count in a box that is made for `provider`.
fn same_family(provider: &str) -> &'static [&'static str] {
    match provider {
        "qemu" | "libvirt" => &["libvirt", "qemu", "kvm"],
        "virtualbox" => &["virtualbox"],
        "hyperv" => &["hyperv"],
        "parallels" => &["parallels"],
        vmware if vmware.starts_with("vmware") => &["vmware_desktop", "vmware_fusion", "vmware_workstation"],
        _ => &[],
    }
}

/// Whether a file ended by its own will.
fn gave_up(flow: &Flow) -> bool {
    match flow {
        Flow::Raise(_) => true,
        Flow::Stop(stop) => matches!(stop.kind, StopKind::Exit(_)),
        _ => false,
    }
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
    (vagrant, provider): (&vagrant::Vagrant, Option<ProviderKind>),
) -> Vec<Machine> {
    let (machine, said, gathered) = (DEFAULT.into(), HashSet::new(), Gathered::default());
    let wanted = provider.unwrap_or(ProviderKind::Qemu);
    let mut applying = Applying { ruby, reader, paths, machine, provider: wanted, said, gathered };
    for (at, name) in vagrant.required.borrow().iter() {
        if let Some((why, changes)) = plugins::why_not(name) {
            applying.left_out(*at, &format!("the plugin `{name}`"), why, changes);
        }
    }
    for at in vagrant.own.borrow().iter() {
        applying.left_out(*at, "the file's own plugin", "plugins of Vagrant do not run here", true);
    }
    for (at, library) in std::mem::take(&mut applying.ruby.provided) {
        if let Some((why, changes)) = plugins::why_not(&library).filter(|_| library.starts_with("vagrant-")) {
            applying.left_out(at, &format!("the plugin `{library}`"), why, changes);
        }
    }
    for (at, class) in std::mem::take(&mut applying.ruby.reopened) {
        let (why, changes) = vagrant::why_not_changed(&class);
        applying.left_out(at, &format!("the change of `{class}`"), why, changes);
    }
    for at in vagrant.old.borrow().iter() {
        applying.left_out(*at, "version 1 of the configuration", "its settings are read as those of version 2", false);
    }
    let Levels { user, root, defined } = levels;
    if defined.is_empty() {
        let configs = [user, root];
        let layer = one(&mut applying, &configs, &preferred(wanted));
        let others = others(&mut applying, &configs, wanted);
        return vec![Machine { name: DEFAULT.into(), layer, others, ..Machine::default() }];
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
        applying.machine = machine.name.as_str().into();
        let mut layer = one(&mut applying, &[user, &machine.above, &machine.config], &preferred(wanted));
        layer.autostart = machine.autostart;
        machines.push(Machine {
            name: machine.name.clone(),
            primary: machine.primary.map(|primary| Spanned::new(span.clone(), primary)),
            span: Some(span),
            depends_on: Vec::new(),
            layer,
            others: Vec::new(),
        });
    }
    // Blocks of other providers may change what those of this one say further down.
    for (made, machine) in machines.iter_mut().zip(defined) {
        applying.machine = machine.name.as_str().into();
        made.others = others(&mut applying, &[user, &machine.above, &machine.config], wanted);
        made.others.iter_mut().for_each(|(_, layer)| layer.autostart = machine.autostart);
    }
    machines
}

/// Whose blocks count for machines of a provider, the first that a file has: its own, then those that are nearest.
fn preferred(kind: ProviderKind) -> Vec<&'static str> {
    let first: &[&str] = match kind {
        ProviderKind::Qemu => &[],
        ProviderKind::Libvirt => &["libvirt", "kvm"],
        ProviderKind::Virtualbox => &["virtualbox"],
    };
    first.iter().chain(PREFERRED).copied().collect()
}

/// The machine for other providers than `wanted`, where the file has blocks of theirs.
fn others(applying: &mut Applying<'_>, configs: &[&Rc<Config>], wanted: ProviderKind) -> Vec<(ProviderKind, Layer)> {
    let calls: Vec<_> = configs.iter().flat_map(|config| config.log("vm")).collect();
    let named = |name: &&str| {
        calls.iter().any(|call| match &*call.name {
            "provider" => call.block.is_some() && call.value().text().as_deref() == Some(*name),
            "customize" => *name == "virtualbox",
            _ => false,
        })
    };
    let chosen = |kind| preferred(kind).into_iter().find(named);
    let kinds = ProviderKind::ALL.iter().copied().filter(|kind| chosen(*kind) != chosen(wanted));
    let quiet = applying.reader.quiet();
    let one_more = |kind| {
        let mut applying = Applying {
            ruby: &mut *applying.ruby,
            reader: &quiet,
            paths: applying.paths,
            machine: Rc::clone(&applying.machine),
            provider: kind,
            said: HashSet::new(),
            gathered: Gathered::default(),
        };
        (kind, one(&mut applying, configs, &preferred(kind)))
    };
    kinds.map(one_more).collect()
}

/// One machine: the file's settings, its own, then what its provider's blocks override.
fn one(applying: &mut Applying<'_>, configs: &[&Rc<Config>], preferred: &[&str]) -> Layer {
    let mut layer = Layer::default();
    let overrides = Config::new();
    let (provider, said) = match provided(applying, configs, &overrides, preferred) {
        Ok(said) => said,
        Err(flow) => {
            tell(applying.ruby, applying.reader, flow);
            return layer;
        }
    };
    let levels = || configs.iter().copied().chain([&overrides]);
    let is_url = |setting: &Setting| &*setting.name == "box_url" && setting.value().text().is_some();
    let has_url = levels().any(|config| {
        let sections = config.sections.borrow();
        sections.get("vm").is_some_and(|section| section.log.borrow().iter().any(is_url))
    });
    for (level, config) in levels().enumerate() {
        applying.gathered.level = level;
        for (name, log) in config.logs() {
            for setting in &log {
                match &*name {
                    "vm" => applying.vm(&mut layer, setting, has_url),
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
    preferred: &[&str],
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
    let Some(chosen) = preferred.iter().find(named).map(|name| (*name).to_owned()) else {
        for (name, setting, _) in &blocks {
            applying.left_out(setting.at, &format!("the block of the provider `{name}`"), NO_PROVIDER, true);
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

/// What ended a run, for people.
struct Told {
    message: String,
    /// Whether it is something that `--trust` allows.
    refused: bool,
}

fn told(ruby: &mut Interp, flow: Flow) -> Told {
    let mut refused = false;
    let message = match flow {
        Flow::Raise(exception) => {
            let class = ruby.class_of(&exception).name.borrow().to_string();
            format!("{}: {class}", ruby.message_of(&exception))
        }
        Flow::Stop(stop) => match stop.kind {
            StopKind::Unsupported => format!("not understood: {}", stop.message),
            StopKind::Refused => {
                refused = true;
                stop.message
            }
            StopKind::Never | StopKind::Bound | StopKind::Exit(_) => stop.message,
        },
        _ => "a jump that leads nowhere".to_owned(),
    };
    Told { message, refused }
}

/// Files the error that ended a run.
fn tell(ruby: &mut Interp, reader: &Reader, flow: Flow) {
    let at = ruby.at;
    let Told { message, refused } = told(ruby, flow);
    let message =
        if at.file == 0 { message } else { format!("{}:{}: {message}", ruby.file_path(at.file), ruby.line_of(at)) };
    let note = reader.error(message).at(Applying::span(at), "");
    if refused {
        let help = "if you trust the file, `--trust` lets it run commands and change files on this computer";
        note.refused().help(help).push();
    } else {
        note.push();
    }
}
