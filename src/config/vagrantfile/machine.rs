//! Runs a machine file and makes the machines that it defines.

use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;

use toml::Spanned;

use super::apply::Applying;
use super::host::Policy;
use super::provide::PREFERRED;
use super::ruby::{Bounds, Flow, Host, HostObject, Interp, Proc, StopKind, Value};
use super::section::{Config, Section, Setting};
use super::vagrant;
use crate::config::layer::{Layer, Paths};
use crate::config::read::Reader;
use crate::config::resolve::{DEFAULT_FOLDER, Machine};
use crate::config::sections::Folder;
use crate::config::spec::{FolderType, SyncedFolder};
use crate::config::{DEFAULT, MOST_MACHINES, check};

/// A machine that `config.vm.define` names.
struct Defined {
    name: String,
    at: super::ruby::At,
    primary: Option<bool>,
    autostart: Option<bool>,
    config: Rc<Config>,
}

/// The machines of the file; problems go to the reader.
pub fn machines(reader: &Reader, file: &Path, text: &str, paths: &Paths<'_>) -> Vec<Machine> {
    let policy = Rc::new(Policy::new(paths.root, paths.home.clone()));
    let mut ruby = Interp::new(Rc::clone(&policy) as Rc<dyn Host>, Bounds::default());
    let vagrant = vagrant::define(&mut ruby);
    let machines = match run(&mut ruby, &vagrant, file, text) {
        Ok((root, defined)) => made(&mut ruby, reader, paths, &root, &defined),
        Err(flow) => {
            tell(&mut ruby, reader, flow);
            Vec::new()
        }
    };
    let printed = policy.printed.borrow();
    if !printed.trim().is_empty() {
        reader.warning(format!("the file says: {}", printed.trim_end())).push();
    }
    machines
}

/// Runs the file, then the blocks of `Vagrant.configure`, then those of the machines: as Vagrant does, which is why files
/// may use below what they define further down.
fn run(
    ruby: &mut Interp,
    vagrant: &vagrant::Vagrant,
    file: &Path,
    text: &str,
) -> Result<(Rc<Config>, Vec<Defined>), Flow> {
    ruby.run(file.to_owned(), text)?;
    let root = Config::new();
    let blocks = vagrant.blocks.borrow().clone();
    for block in &blocks {
        ruby.yield_to(block, vec![Value::Host(Rc::clone(&root) as Rc<dyn HostObject>)])?;
    }
    let mut defined: Vec<Defined> = Vec::new();
    let calls = root.log("vm").into_iter().filter(|setting| &*setting.name == "define");
    for setting in calls.take(2 * MOST_MACHINES) {
        define(ruby, &mut defined, &setting)?;
    }
    Ok((root, defined))
}

fn define(ruby: &mut Interp, defined: &mut Vec<Defined>, setting: &Setting) -> Result<(), Flow> {
    ruby.at = setting.at;
    let name = ruby.to_s(&setting.value())?;
    let index = defined.iter().position(|other| other.name == name).unwrap_or_else(|| {
        let config = Config::new();
        defined.push(Defined { name, at: setting.at, primary: None, autostart: None, config });
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
    let config = Value::Host(Rc::clone(&machine.config) as Rc<dyn HostObject>);
    match &setting.block {
        Some(block) => ruby.yield_to(block, vec![config]).map(|_| ()),
        None => Ok(()),
    }
}

fn made(ruby: &mut Interp, reader: &Reader, paths: &Paths<'_>, root: &Rc<Config>, defined: &[Defined]) -> Vec<Machine> {
    let mut applying = Applying { ruby, reader, paths, said: HashSet::new() };
    if defined.is_empty() {
        let layer = one(&mut applying, &[root]);
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
        let mut layer = one(&mut applying, &[root, &machine.config]);
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
    for config in configs.iter().copied().chain([&overrides]) {
        for setting in config.log("vm") {
            applying.vm(&mut layer, &setting);
        }
        for setting in config.log("ssh") {
            applying.ssh(&mut layer, &setting);
        }
        let sections = config.sections.borrow();
        for (name, section) in sections.iter().filter(|(name, _)| !matches!(&***name, "vm" | "ssh")) {
            for setting in section.log.borrow().iter() {
                applying.left_out(setting.at, &format!("`config.{name}`"), "not supported yet", true);
            }
        }
    }
    default_folder(&mut layer, configs, applying.paths);
    for setting in said.log.borrow().iter() {
        applying.provider(&mut layer, &provider, setting);
    }
    layer
}

/// Vagrant leaves its own folder away where the file shares `.` somewhere else.
fn default_folder(layer: &mut Layer, configs: &[&Rc<Config>], paths: &Paths<'_>) {
    let mut calls = configs.iter().flat_map(|config| config.log("vm"));
    let shares =
        calls.any(|setting| &*setting.name == "synced_folder" && setting.value().text().as_deref() == Some("."));
    if !shares || layer.folders.iter().any(|folder| folder.spec.guest == DEFAULT_FOLDER) {
        return;
    }
    let spec = SyncedFolder {
        host: paths.root.to_owned(),
        guest: DEFAULT_FOLDER.into(),
        kind: FolderType::default(),
        create: false,
        owner: None,
        group: None,
        exclude: Vec::new(),
        args: None,
    };
    layer.folders.push(Folder { spec, disabled: true, span: 0..0 });
}

/// Runs the blocks of the one provider that counts.
fn provided(
    applying: &mut Applying<'_>,
    configs: &[&Rc<Config>],
    overrides: &Rc<Config>,
) -> Result<(String, Rc<Section>), Flow> {
    let mut blocks: Vec<(String, Setting, Rc<Proc>)> = Vec::new();
    for setting in configs.iter().flat_map(|config| config.log("vm")).filter(|setting| &*setting.name == "provider") {
        if let (Some(name), Some(block)) = (setting.value().text(), setting.block.clone()) {
            blocks.push((name.to_string(), setting, block));
        }
    }
    let named = |name: &&&str| blocks.iter().any(|(other, _, _)| other == **name);
    let Some(chosen) = PREFERRED.iter().find(named).map(|name| (*name).to_owned()) else {
        for (name, setting, _) in &blocks {
            applying.left_out(setting.at, &format!("the block of the provider `{name}`"), "machines run on QEMU", true);
        }
        return Ok((String::new(), Section::new("no provider")));
    };
    let section = Section::new(&format!("the provider {chosen}"));
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
    let (message, help) = match flow {
        Flow::Raise(exception) => {
            let class = ruby.class_of(&exception).name.borrow().to_string();
            (format!("{}: {class}", ruby.message_of(&exception)), None)
        }
        Flow::Stop(stop) => match stop.kind {
            StopKind::Unsupported => (format!("not understood: {}", stop.message), None),
            StopKind::Refused => {
                let help =
                    "machine files run no commands and change nothing on this computer, and nothing allows it yet";
                (stop.message, Some(help))
            }
            StopKind::Bound | StopKind::Exit(_) => (stop.message, None),
        },
        _ => ("a jump that leads nowhere".to_owned(), None),
    };
    let message =
        if at.file == 0 { message } else { format!("{}:{}: {message}", ruby.file_path(at.file), ruby.line_of(at)) };
    let note = reader.error(message).at(Applying::span(at), "");
    match help {
        Some(help) => note.help(help).push(),
        None => note.push(),
    }
}
