//! `vb.customize [...]`: what every hypervisor has becomes the machine's own, the rest stays a call of `VBoxManage`, which
//! machines on VirtualBox get.

use super::apply::Applying;
use super::provide::nic;
use super::ruby::{At, Value};
use super::section::Setting;
use crate::config::layer::Layer;
use crate::config::spec::{CustomizeEvent, Firmware, ProviderKind};
use crate::config::virtualbox;

/// Commands that touch disks; a machine without them is another one.
const DISKS: &[&str] = &[
    "createhd",
    "createmedium",
    "storagectl",
    "storageattach",
    "modifyhd",
    "modifymedium",
    "clonehd",
    "clonemedium",
    "closemedium",
];

/// What `modifyvm` sets that shows in the guest, or is reached from outside of it.
const SHOWS: &[&str] = &[
    "--cpuexecutioncap",
    "--macaddress1",
    "--usb",
    "--usbehci",
    "--usbxhci",
    "--boot1",
    "--natpf1",
    "--nic2",
    "--nested-hw-virt",
];

/// What `modifyvm` sets as it is here in any case.
const ANYWAY: &[(&str, &str)] = &[("--ioapic", "on"), ("--rtcuseutc", "on"), ("--pae", "on"), ("--acpi", "on")];

/// Options whose value is a file of the host; a relative one starts in the project's folder.
const FILES: &[&str] = &["--filename", "--medium"];

/// Words that stand for no file where one may be.
const NO_FILES: &[&str] = &["none", "emptydrive", "additions", "iscsi"];

/// An option of `modifyvm` with what follows it.
struct Switch {
    name: String,
    values: Vec<(String, Value)>,
}

impl Applying<'_> {
    /// `vb.customize ["modifyvm", :id, "--memory", 1024]`, or with a moment before the list.
    pub(super) fn customize(&mut self, layer: &mut Layer, setting: &Setting) {
        let at = setting.at;
        let Some(Value::Array(words)) = setting.args.iter().rfind(|arg| matches!(arg, Value::Array(_))) else {
            return self.left_out(at, "this `customize`", "it is no list of words", true);
        };
        let event = setting.args.iter().filter(|arg| !matches!(arg, Value::Array(_))).find_map(Value::text);
        let words = words.items.borrow().clone();
        let mut words: Vec<_> = words.into_iter().map(|value| (self.customize_word(&value), value)).collect();
        if event.as_deref().is_none_or(|event| event == CustomizeEvent::PreBoot.name())
            && words.first().is_some_and(|(verb, _)| verb == "modifyvm")
        {
            words = self.modifyvm(layer, at, words);
            if words.is_empty() {
                return;
            }
        }
        let verb = words.first().map(|(verb, _)| verb.clone()).unwrap_or_default();
        let command = self.with_whole_paths(words.into_iter().map(|(word, _)| word));
        let command = event.iter().map(ToString::to_string).chain(command).collect();
        match virtualbox::customization(command) {
            Ok(one) => {
                if verb != "modifyvm" {
                    self.only_virtualbox(at, &format!("`{verb}` for VirtualBox"), DISKS.contains(&&*verb));
                }
                layer.providers.virtualbox.customize.push(one);
            }
            Err(complaint) => self.left_out(at, "this `customize`", &complaint.text, true),
        }
    }

    /// Of the words of a list, `:id` stands for the machine.
    fn customize_word(&mut self, word: &Value) -> String {
        match word {
            Value::Sym(_) if word.text().as_deref() == Some("id") => ":id".into(),
            word => self.ruby.to_s(word).unwrap_or_default(),
        }
    }

    /// Takes what is the machine's own out of a call of `modifyvm`; nothing where nothing is left of it.
    fn modifyvm(&mut self, layer: &mut Layer, at: At, words: Vec<(String, Value)>) -> Vec<(String, Value)> {
        let mut words = words.into_iter();
        let mut left: Vec<_> = words.by_ref().take(2).collect();
        let head = left.len();
        for option in options(words) {
            if self.is_own(layer, at, &option) {
                continue;
            }
            let name = &option.name;
            self.only_virtualbox(at, &format!("`{name}` for VirtualBox"), SHOWS.contains(&&**name));
            left.push((option.name, Value::Nil));
            left.extend(option.values);
        }
        if left.len() > head { left } else { Vec::new() }
    }

    /// Whether an option of `modifyvm` says of the machine what our own keys say; then it is laid onto the layer.
    fn is_own(&mut self, layer: &mut Layer, at: At, option: &Switch) -> bool {
        let Some((text, value)) = option.values.first() else { return false };
        let single = option.values.len() == 1;
        let own = &mut layer.providers.virtualbox;
        match &*option.name {
            "--memory" => self.memory(layer, at, value),
            "--cpus" => self.cpus(layer, at, value),
            "--firmware" if text.starts_with("efi") => layer.firmware = Some(Firmware::Uefi),
            "--firmware" if text == "bios" => layer.firmware = Some(Firmware::Bios),
            "--nictype1" if nic(text).is_some() => layer.nic = nic(text),
            "--vram" if virtualbox::vram(text).is_some() => own.vram = virtualbox::vram(text),
            "--graphicscontroller" if virtualbox::card(text).is_some() => {
                own.graphics_controller = virtualbox::card(text);
            }
            "--name" if virtualbox::name(text).is_ok() => own.name = Some(text.clone()),
            "--uart1" | "--uartmode1" => {
                // Many files send it to nowhere, so that it does not fill a file in the project.
                let elsewhere = text == "file" && option.values.get(1).is_none_or(|(path, _)| path != "/dev/null");
                let why = "the serial console is written to the machine's own log (`vbox-rs logs`)";
                self.left_out(at, &format!("`{}` for VirtualBox", option.name), why, elsewhere);
            }
            name if single && ANYWAY.contains(&(name, text)) => {}
            _ => return false,
        }
        true
    }

    /// A relative path of a file starts in the project's folder, wherever `vbox-rs` is called.
    fn with_whole_paths(&self, words: impl Iterator<Item = String>) -> Vec<String> {
        let mut is_file = false;
        let mut whole = Vec::new();
        for word in words {
            let named = is_file && !NO_FILES.contains(&&*word) && !word.contains(':') && !is_uuid(&word);
            is_file = FILES.contains(&&*word);
            let path = if named { self.paths.resolve(&word).ok() } else { None };
            whole.push(path.and_then(|path| path.to_str().map(str::to_owned)).unwrap_or(word));
        }
        whole
    }

    /// Something that machines on VirtualBox have, and no others.
    pub(super) fn only_virtualbox(&mut self, at: At, what: &str, changes: bool) {
        if self.provider != ProviderKind::Virtualbox {
            self.left_out(at, what, "only machines on VirtualBox have it", changes);
        }
    }
}

/// `--memory 512 --natpf1 delete ssh` and `--memory=512`, option by option.
fn options(words: impl Iterator<Item = (String, Value)>) -> Vec<Switch> {
    let mut all: Vec<Switch> = Vec::new();
    for (word, value) in words {
        let long = word.starts_with("--");
        match all.last_mut() {
            Some(last) if !long => last.values.push((word, value)),
            _ => match word.split_once('=').filter(|_| long) {
                Some((name, text)) => {
                    let values = vec![(text.to_owned(), Value::str(text))];
                    all.push(Switch { name: name.to_owned(), values });
                }
                None => all.push(Switch { name: word, values: Vec::new() }),
            },
        }
    }
    all
}

fn is_uuid(word: &str) -> bool {
    word.len() == 36 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
