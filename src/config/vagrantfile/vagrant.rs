//! The modules that machine files call: `Vagrant` and a little below it.

use std::cell::RefCell;
use std::rc::Rc;

use super::plugins;
use super::ruby::{At, Call, HostObject, Interp, Name, Proc, Result, Stream, Value};

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
    /// Where the file defines plugins of its own.
    pub own: RefCell<Vec<At>>,
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
        plugins::is_there(name) || self.installed.borrow().iter().any(|other| other == name)
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
                self.has_plugin(&name).into()
            }
            "in_installer?" | "very_quiet?" => Value::Bool(false),
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

/// `Vagrant::Util::Platform`.
struct Platform;

impl HostObject for Platform {
    fn class_name(&self) -> Rc<str> {
        "Vagrant::Util::Platform".into()
    }

    fn call(self: Rc<Self>, _ruby: &mut Interp, name: Name, _call: &Call) -> Result<Option<Value>> {
        Ok(match &*name.text() {
            "linux?" => Some(cfg!(target_os = "linux").into()),
            "darwin?" => Some(cfg!(target_os = "macos").into()),
            "windows?" | "cygwin?" | "wsl?" | "windows_admin?" | "windows_hyperv_enabled?" => Some(Value::Bool(false)),
            "platform" => Some(Value::str(std::env::consts::OS)),
            "bit64?" => Some(Value::Bool(true)),
            _ => None,
        })
    }

    fn responds(&self, name: Name) -> bool {
        name.text().ends_with('?')
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
    ruby.define_host_module("Vagrant::Config", Rc::new(FirstVersion(Rc::clone(&vagrant))));
    ruby.define_module("Vagrant::UI");
    ruby.define_module("VagrantPlugins");
    ruby.define_host_module("Vagrant::UI::Colored", Rc::new(Ui));
    ruby.define_host_module("Vagrant::UI::Basic", Rc::new(Ui));
    ruby.define_module("Vagrant::Errors");
    let error = ruby.class_named("StandardError");
    ruby.define_class("Vagrant::Errors::VagrantError", &error);
    ruby.class_named("Vagrant").constants.borrow_mut().insert(Name::of("VERSION"), Value::str(VERSION));
    vagrant
}
