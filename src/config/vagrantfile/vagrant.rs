//! The modules that machine files call: `Vagrant` and a little below it.

use std::cell::RefCell;
use std::rc::Rc;

use super::plugins;
use super::ruby::{At, Call, HostObject, Interp, Name, Output, Proc, Result, Stream, Value};

/// What `Vagrant::VERSION` says: files ask for at least what they were written for.
pub const VERSION: &str = "2.4.9";

/// Names of plugins that the file has installed for itself, as it believes.
pub type Installed = Rc<RefCell<Vec<String>>>;

/// `Vagrant`.
#[derive(Default)]
pub struct Vagrant {
    /// The blocks of `Vagrant.configure`, which run when the file has ended.
    pub blocks: RefCell<Vec<Rc<Proc>>>,
    /// Plugins that `Vagrant.require_plugin` names.
    pub required: RefCell<Vec<(At, String)>>,
    /// Where the first version of the configuration was used.
    pub old: RefCell<Vec<At>>,
    /// Plugins that the file was told it does not have.
    pub denied: RefCell<Vec<String>>,
    /// Where the file defines plugins of its own.
    pub own: RefCell<Vec<At>>,
    /// Plugins without which the file ended itself: it is told that it has them, and they are listed.
    pub pretended: RefCell<Vec<String>>,
    installed: Installed,
}

impl Vagrant {
    fn configure(&self, ruby: &mut Interp, version: &str, call: &Call) -> Result<()> {
        match version {
            "2" => {}
            // Its names are read beside those of the second version.
            "1" => self.old.borrow_mut().push(ruby.at),
            other => {
                return Err(ruby.unsupported(format!("configuration version {other}; versions 1 and 2 are")));
            }
        }
        self.blocks.borrow_mut().extend(call.block.clone());
        Ok(())
    }

    fn has_plugin(&self, name: &str) -> bool {
        let among = |names: &[String]| names.iter().any(|other| other == name);
        plugins::is_there(name) || among(&self.installed.borrow()) || among(&self.pretended.borrow())
    }
}

impl HostObject for Vagrant {
    fn class_name(&self) -> Rc<str> {
        "Vagrant".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        let value = match &*name.text() {
            "configure" => {
                let version = ruby.to_s(&call.arg(0))?;
                self.configure(ruby, &version, call)?;
                Value::Nil
            }
            "has_plugin?" => {
                let name = ruby.to_s(&call.arg(0))?;
                let there = self.has_plugin(&name);
                if there && self.pretended.borrow().contains(&name) {
                    self.required.borrow_mut().push((ruby.at, name));
                } else if !there {
                    self.denied.borrow_mut().push(name);
                }
                there.into()
            }
            "in_installer?" | "very_quiet?" | "prerelease?" => Value::Bool(false),
            "plugins_enabled?" | "plugins_init?" => Value::Bool(true),
            "original_env" => Value::hash([]),
            "user_data_path" => {
                let path = ruby.host.home().join(".vagrant.d").display().to_string();
                let pathname = ruby.top_constant("Pathname")?;
                ruby.send(&pathname, "new", vec![path.into()])?
            }
            "require_version" => {
                require_version(ruby, call)?;
                Value::Nil
            }
            "version?" => {
                let mut meets_all = true;
                for wanted in &call.args {
                    let text = ruby.to_s(wanted)?;
                    meets_all &= text.split(',').all(|part| meets(part.trim()) == Some(true));
                }
                meets_all.into()
            }
            "require_plugin" => {
                let name = ruby.to_s(&call.arg(0))?;
                if !self.has_plugin(&name) {
                    self.required.borrow_mut().push((ruby.at, name));
                }
                Value::Nil
            }
            "plugin" => {
                self.own.borrow_mut().push(ruby.at);
                plugin_class(ruby)?
            }
            _ => return Ok(None),
        };
        Ok(Some(value))
    }

    fn responds(&self, name: Name) -> bool {
        matches!(&*name.text(), "configure" | "has_plugin?" | "require_version" | "version?")
    }
}

/// What plugins of a file's own descend from: they may describe themselves, and nothing asks them.
const PLUGIN: &str = "class VagrantPluginOfTheFile\n  def self.name(*) = to_s\n  def self.method_missing(*) = nil\n  \
    def self.respond_to_missing?(*) = true\nend\n";

fn plugin_class(ruby: &mut Interp) -> Result<Value> {
    let name = Name::of("VagrantPluginOfTheFile");
    let known = |ruby: &Interp| ruby.object.constants.borrow().get(&name).cloned();
    if known(ruby).is_none() {
        let at = ruby.at;
        ruby.run("plugin.rb".into(), PLUGIN)?;
        ruby.at = at;
    }
    Ok(known(ruby).unwrap_or(Value::Nil))
}

fn require_version(ruby: &mut Interp, call: &Call) -> Result<()> {
    for wanted in &call.args {
        let text = ruby.to_s(wanted)?;
        match text.split(',').map(|part| meets(part.trim())).collect::<Option<Vec<_>>>() {
            None => return Err(ruby.error("ArgumentError", format!("`{text}` is no requirement of a version"))),
            Some(all) if all.contains(&false) => {
                let message = format!("it asks for Vagrant {text}, and works here as with {VERSION}");
                return Err(ruby.error("Vagrant::Errors::VagrantError", message));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Whether our version meets one constraint; `None` where it is none.
fn meets(constraint: &str) -> Option<bool> {
    let at = constraint.find(|c: char| c.is_ascii_digit())?;
    let (operator, version) = constraint.split_at(at);
    let numbers =
        |text: &str| text.trim().split('.').map(str::parse).collect::<std::result::Result<Vec<u32>, _>>().ok();
    let (mut ours, mut bound) = (numbers(VERSION)?, numbers(version)?);
    let written = bound.len();
    let length = ours.len().max(written);
    ours.resize(length, 0);
    bound.resize(length, 0);
    Some(match operator.trim() {
        "" | "=" => ours == bound,
        "!=" => ours != bound,
        ">" => ours > bound,
        "<" => ours < bound,
        ">=" => ours >= bound,
        "<=" => ours <= bound,
        // All but the last number that is written stay.
        "~>" => ours >= bound && ours.iter().zip(&bound).take(written.saturating_sub(1).max(1)).all(|(a, b)| a == b),
        _ => return None,
    })
}

/// Parts of Vagrant that files look into or change: their own code does not run here.
const ABSENT: &[&str] = &[
    "VagrantPlugins::Ansible",
    "VagrantPlugins::Chef",
    "VagrantPlugins::CommunicatorSSH",
    "VagrantPlugins::CommunicatorWinRM",
    "VagrantPlugins::DockerProvider",
    "VagrantPlugins::DockerProvisioner",
    "VagrantPlugins::FileUpload",
    "VagrantPlugins::GuestDebian",
    "VagrantPlugins::GuestLinux",
    "VagrantPlugins::GuestRedHat",
    "VagrantPlugins::GuestUbuntu",
    "VagrantPlugins::GuestWindows",
    "VagrantPlugins::HostDarwin",
    "VagrantPlugins::HostLinux",
    "VagrantPlugins::HostWindows",
    "VagrantPlugins::HyperV",
    "VagrantPlugins::Kernel_V1",
    "VagrantPlugins::Kernel_V2",
    "VagrantPlugins::ProviderLibvirt",
    "VagrantPlugins::ProviderVirtualBox",
    "VagrantPlugins::Puppet",
    "VagrantPlugins::Salt",
    "VagrantPlugins::Shell",
    "VagrantPlugins::SyncedFolderNFS",
    "VagrantPlugins::SyncedFolderRSync",
    "VagrantPlugins::SyncedFolderSMB",
    "Vagrant::Action",
    "Vagrant::Environment",
    "Vagrant::Machine",
    "Vagrant::Plugin",
    "VagrantVbguest",
];

/// Why nothing comes of a change to a class of Vagrant's, and whether that changes the result.
pub fn why_not_changed(class: &str) -> (&'static str, bool) {
    match class {
        // Everybody's way around a fault of Vagrant's with VirtualBox's own DHCP servers.
        "VagrantPlugins::ProviderVirtualBox::Action::Network" => ("no DHCP server of VirtualBox is asked", false),
        _ => ("Vagrant's own code does not run here", true),
    }
}

/// `Vagrant::Util::Platform`.
struct Platform;

impl HostObject for Platform {
    fn class_name(&self) -> Rc<str> {
        "Vagrant::Util::Platform".into()
    }

    fn call(self: Rc<Self>, _ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        Ok(match &*name.text() {
            "linux?" | "systemd?" => Some(cfg!(target_os = "linux").into()),
            "darwin?" => Some(cfg!(target_os = "macos").into()),
            "windows?"
            | "cygwin?"
            | "msys?"
            | "wsl?"
            | "wsl_windows_access?"
            | "windows_admin?"
            | "windows_hyperv_enabled?"
            | "windows_hyperv_admin?"
            | "solaris?"
            | "freebsd?"
            | "bit32?" => Some(Value::Bool(false)),
            "platform" if cfg!(target_os = "macos") => Some("darwin".into()),
            "platform" => Some("linux-gnu".into()),
            "bit64?" | "fs_case_sensitive?" | "terminal_supports_colors?" | "unix?" => Some(Value::Bool(true)),
            "architecture" => Some(Value::str(if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" })),
            // Paths are what they are on any but Windows.
            "fs_real_path" | "cygwin_windows_path" | "windows_unc_path" | "wsl_to_windows_path" | "windows_path" => {
                Some(call.arg(0))
            }
            _ => None,
        })
    }

    fn responds(&self, name: Name) -> bool {
        name.text().ends_with('?')
    }
}

/// `Vagrant::Util::Which`.
struct Which;

impl HostObject for Which {
    fn class_name(&self) -> Rc<str> {
        "Vagrant::Util::Which".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        if &*name.text() != "which" {
            return Ok(None);
        }
        let command = ruby.to_s(&call.arg(0))?;
        let found = ruby.command_output(&format!("which '{}'", command.replace('\'', "'\\''")))?;
        Ok(Some(if found.status == 0 { found.text.trim_end().to_owned().into() } else { Value::Nil }))
    }

    fn responds(&self, name: Name) -> bool {
        &*name.text() == "which"
    }
}

/// `Vagrant::Util::Subprocess`: a command as backticks run it.
struct Subprocess;

impl HostObject for Subprocess {
    fn class_name(&self) -> Rc<str> {
        "Vagrant::Util::Subprocess".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        if &*name.text() != "execute" {
            return Ok(None);
        }
        let mut line = Vec::new();
        for word in call.args.iter().filter(|word| !matches!(word, Value::Hash(_))) {
            line.push(format!("'{}'", ruby.to_s(word)?.replace('\'', "'\\''")));
        }
        let output = ruby.command_output(&line.join(" "))?;
        Ok(Some(Value::Host(Rc::new(Said(output)))))
    }

    fn responds(&self, name: Name) -> bool {
        &*name.text() == "execute"
    }
}

/// What a command said.
struct Said(Output);

impl HostObject for Said {
    fn class_name(&self) -> Rc<str> {
        "Vagrant::Util::Subprocess::Result".into()
    }

    fn call(self: Rc<Self>, _ruby: &mut Interp, name: Name, _call: &Call) -> Result<Option<Value>> {
        Ok(match &*name.text() {
            "stdout" => Some(Value::str(self.0.text.as_str())),
            "stderr" => Some("".into()),
            "exit_code" => Some(Value::Int(self.0.status.into())),
            _ => None,
        })
    }

    fn responds(&self, name: Name) -> bool {
        matches!(&*name.text(), "stdout" | "stderr" | "exit_code")
    }
}

/// `Vagrant::Plugin::Manager`.
struct Manager(Rc<Vagrant>);

impl HostObject for Manager {
    fn class_name(&self) -> Rc<str> {
        "Vagrant::Plugin::Manager".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        Ok(match &*name.text() {
            "instance" => Some(Value::Host(self)),
            "installed_plugins" => {
                let installed = self.0.installed.borrow().clone();
                let names = plugins::there().map(String::from).chain(installed);
                Some(Value::hash(names.map(|name| (Value::str(name), Value::hash([])))))
            }
            "plugin_installed?" => {
                let name = ruby.to_s(&call.arg(0))?;
                Some(self.0.has_plugin(&name).into())
            }
            _ => None,
        })
    }

    fn responds(&self, name: Name) -> bool {
        matches!(&*name.text(), "instance" | "installed_plugins" | "plugin_installed?")
    }
}

/// `Vagrant::Config`, of the first version of the configuration.
struct FirstVersion(Rc<Vagrant>);

impl HostObject for FirstVersion {
    fn class_name(&self) -> Rc<str> {
        "Vagrant::Config".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        if &*name.text() != "run" {
            return Ok(None);
        }
        let version = if call.args.is_empty() { "1".to_owned() } else { ruby.to_s(&call.arg(0))? };
        self.0.configure(ruby, &version, call)?;
        Ok(Some(Value::Nil))
    }

    fn responds(&self, name: Name) -> bool {
        &*name.text() == "run"
    }
}

/// `Vagrant::UI::Colored` and its instances: what they say is told.
struct Ui;

impl HostObject for Ui {
    fn class_name(&self) -> Rc<str> {
        "Vagrant::UI".into()
    }

    fn call(self: Rc<Self>, ruby: &mut Interp, name: Name, call: &Call) -> Result<Option<Value>> {
        match &*name.text() {
            "new" => Ok(Some(Value::Host(self))),
            "info" | "warn" | "error" | "success" | "say" | "detail" | "output" => {
                let text = ruby.to_s(&call.arg(0))?;
                ruby.print(&format!("{text}\n"), Stream::Out)?;
                Ok(Some(Value::Nil))
            }
            _ => Ok(None),
        }
    }

    fn responds(&self, name: Name) -> bool {
        matches!(&*name.text(), "info" | "warn" | "error" | "success" | "say" | "detail" | "output")
    }
}

/// Makes the modules known to a run.
pub fn define(ruby: &mut Interp, installed: Installed) -> Rc<Vagrant> {
    let vagrant = Rc::new(Vagrant { installed, ..Vagrant::default() });
    ruby.define_host_module("Vagrant", Rc::clone(&vagrant) as Rc<dyn HostObject>);
    ruby.define_module("Vagrant::Util");
    ruby.define_host_module("Vagrant::Util::Platform", Rc::new(Platform));
    ruby.define_host_module("Vagrant::Util::Which", Rc::new(Which));
    ruby.define_host_module("Vagrant::Util::Subprocess", Rc::new(Subprocess));
    ruby.define_host_module("Vagrant::Config", Rc::new(FirstVersion(Rc::clone(&vagrant))));
    ruby.define_module("Vagrant::UI");
    ruby.define_module("VagrantPlugins");
    ruby.define_host_module("Vagrant::UI::Colored", Rc::new(Ui));
    ruby.define_host_module("Vagrant::UI::Basic", Rc::new(Ui));
    let error = ruby.class_named("StandardError");
    ruby.define_module("Vagrant::Errors");
    let error = ruby.define_class("Vagrant::Errors::VagrantError", &error);
    ruby.define_absent("Vagrant::Errors", &error);
    let object = ruby.class_named("Object");
    ruby.define_absent("Vagrant::Util", &object);
    for name in ABSENT {
        ruby.define_absent(name, &object);
    }
    ruby.define_host_module("Vagrant::Plugin::Manager", Rc::new(Manager(Rc::clone(&vagrant))));
    ruby.class_named("Vagrant").constants.borrow_mut().insert(Name::of("VERSION"), Value::str(VERSION));
    vagrant
}
