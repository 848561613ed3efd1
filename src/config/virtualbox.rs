//! `[provider_options.virtualbox]`: reading it, and laying levels over each other.

use toml::Spanned;
use toml::de::DeValue;

use super::check;
use super::layer::plain;
use super::nearest::nearest;
use super::read::{Complaint, Table};
use super::spec::{Customization, CustomizeEvent, GraphicsController, VirtualboxOptions};

/// `[provider_options.virtualbox]` of one level.
#[derive(Clone, Debug, Default)]
pub struct VirtualboxLayer {
    pub name: Option<String>,
    pub gui: Option<bool>,
    pub linked_clone: Option<bool>,
    pub vram: Option<u32>,
    pub graphics_controller: Option<GraphicsController>,
    pub os_type: Option<String>,
    pub customize: Vec<Customization>,
}

/// MiB of video memory that VirtualBox takes.
const VRAM: std::ops::RangeInclusive<u64> = 1..=256;

const CARDS: &[(&str, GraphicsController)] = &[
    ("none", GraphicsController::None),
    ("vboxvga", GraphicsController::Vboxvga),
    ("vmsvga", GraphicsController::Vmsvga),
    ("vboxsvga", GraphicsController::Vboxsvga),
];

/// Commands of `VBoxManage` that change a machine which exists.
const COMMANDS: &[&str] = &[
    "bandwidthctl",
    "clonehd",
    "clonemedium",
    "closemedium",
    "controlvm",
    "createhd",
    "createmedium",
    "dhcpserver",
    "encryptmedium",
    "guestcontrol",
    "guestproperty",
    "hostonlyif",
    "metrics",
    "modifyhd",
    "modifymedium",
    "modifynvram",
    "modifyvm",
    "natnetwork",
    "setextradata",
    "sharedfolder",
    "storageattach",
    "storagectl",
    "usbfilter",
];

/// Commands that make, start or remove machines, which is our part.
const OURS: &[&str] = &[
    "clonevm",
    "createvm",
    "discardstate",
    "export",
    "import",
    "movevm",
    "registervm",
    "snapshot",
    "startvm",
    "unregistervm",
];

pub fn read(mut table: Table<'_, '_>) -> VirtualboxLayer {
    let layer = VirtualboxLayer {
        name: plain(table.parsed("name", name)),
        gui: plain(table.boolean("gui")),
        linked_clone: plain(table.boolean("linked_clone")),
        vram: plain(table.integer("vram", VRAM)),
        graphics_controller: plain(table.choice("graphics_controller", CARDS)),
        os_type: plain(table.parsed("os_type", os_type)),
        customize: customizations(&mut table),
    };
    table.finish();
    layer
}

impl VirtualboxLayer {
    pub fn overlaid(self, above: Self) -> Self {
        let mut customize = self.customize;
        customize.extend(above.customize);
        Self {
            name: above.name.or(self.name),
            gui: above.gui.or(self.gui),
            linked_clone: above.linked_clone.or(self.linked_clone),
            vram: above.vram.or(self.vram),
            graphics_controller: above.graphics_controller.or(self.graphics_controller),
            os_type: above.os_type.or(self.os_type),
            customize,
        }
    }

    pub fn spec(&self) -> VirtualboxOptions {
        let default = VirtualboxOptions::default();
        VirtualboxOptions {
            name: self.name.clone(),
            gui: self.gui.unwrap_or(default.gui),
            linked_clone: self.linked_clone.unwrap_or(default.linked_clone),
            vram: self.vram,
            graphics_controller: self.graphics_controller,
            os_type: self.os_type.clone(),
            customize: self.customize.clone(),
        }
    }
}

/// What the machine is called in VirtualBox.
pub fn name(text: &str) -> Result<String, Complaint> {
    if text.chars().count() > 100 {
        return Err("is longer than 100 characters".into());
    }
    check::line(text)
}

/// Video memory as `modifyvm` takes it.
pub fn vram(text: &str) -> Option<u32> {
    let size = text.parse().ok()?;
    VRAM.contains(&u64::from(size)).then_some(size)
}

/// A graphics card in VirtualBox's word.
pub fn card(text: &str) -> Option<GraphicsController> {
    CARDS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, card)| *card)
}

fn os_type(text: &str) -> Result<String, Complaint> {
    let fine = !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if fine { Ok(text.into()) } else { Err("expected an id of `VBoxManage list ostypes`, as `Debian_64`".into()) }
}

/// `customize = [["modifyvm", ":id", "--vram", "64"], ["post-boot", "controlvm", …]]`.
fn customizations(table: &mut Table<'_, '_>) -> Vec<Customization> {
    const KEY: &str = "customize";
    let expected = "a list of lists of words, as `[[\"modifyvm\", \":id\", \"--vram\", \"64\"]]`";
    let Some(value) = table.value(KEY) else { return Vec::new() };
    let DeValue::Array(calls) = value.get_ref() else {
        table.wrong_type(KEY, value, expected);
        return Vec::new();
    };
    let mut all = Vec::new();
    for call in calls {
        let Some(words) = words(call) else {
            table.wrong_type(KEY, call, expected);
            continue;
        };
        match customization(words) {
            Ok(one) => all.push(one),
            Err(complaint) => table.refuse(KEY, call.span(), complaint),
        }
    }
    all
}

/// Numbers count as they are written, as in Vagrant.
fn words(call: &Spanned<DeValue<'_>>) -> Option<Vec<String>> {
    let DeValue::Array(words) = call.get_ref() else { return None };
    let word = |word: &Spanned<DeValue<'_>>| match word.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        _ => None,
    };
    words.iter().map(word).collect()
}

/// A call as it is written: an event, perhaps, and the words.
pub fn customization(words: Vec<String>) -> Result<Customization, Complaint> {
    let one = Customization::from(words);
    if one.command.iter().any(|word| word.contains('\0')) {
        return Err("contains a NUL character".into());
    }
    let Some(verb) = one.command.first() else { return Err("names no command of `VBoxManage`".into()) };
    if verb.starts_with("pre-") || verb.starts_with("post-") {
        return Err(Complaint::from(format!("`{verb}` is no moment at which calls are made"))
            .help("`pre-import`, `pre-boot`, `post-boot` and `post-comm` are"));
    }
    if OURS.contains(&verb.as_str()) {
        return Err(Complaint::from(format!("`{verb}` makes, starts or removes machines, which is vbox-rs's part"))
            .help("leave it out"));
    }
    if !COMMANDS.contains(&verb.as_str()) {
        let complaint = Complaint::from(format!("`{verb}` is no command of `VBoxManage` that changes a machine"));
        return Err(match nearest(verb, COMMANDS.iter().copied()) {
            Some(name) => complaint.help(format!("did you mean `{name}`?")),
            None => complaint.help("the first word is the command, as `modifyvm`"),
        });
    }
    if one.event == CustomizeEvent::PreImport && one.command.iter().any(|word| word == ":id") {
        return Err(Complaint::from("names the machine by `:id` at `pre-import`, when there is none yet")
            .help("leave `pre-import` out: the call is made before each start then"));
    }
    Ok(one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(Into::into).collect()
    }

    #[test]
    fn a_call_may_begin_with_its_moment() {
        for (text, event, command) in [
            ("modifyvm :id --vram 64", CustomizeEvent::PreBoot, "modifyvm :id --vram 64"),
            ("pre-boot setextradata :id a b", CustomizeEvent::PreBoot, "setextradata :id a b"),
            (
                "post-boot controlvm :id keyboardputstring x",
                CustomizeEvent::PostBoot,
                "controlvm :id keyboardputstring x",
            ),
            ("pre-import createhd --size 8", CustomizeEvent::PreImport, "createhd --size 8"),
            ("post-comm guestcontrol :id run", CustomizeEvent::PostComm, "guestcontrol :id run"),
        ] {
            let found = customization(words(text)).ok();
            let one = Customization { event, command: words(command) };
            assert_eq!(found.as_ref(), Some(&one), "{text}");
            assert_eq!(Customization::from(Vec::from(one.clone())), one, "as it is written");
        }
    }

    #[test]
    fn a_call_that_is_none_or_is_our_part_is_refused() {
        for (text, complaint) in [
            ("", "names no command"),
            ("post-boot", "names no command"),
            ("pre-import modifyvm :id", "names the machine by `:id` at `pre-import`, when there is none yet"),
            ("post-bot controlvm :id pause", "`post-bot` is no moment at which calls are made"),
            ("post-comm pre-boot modifyvm :id", "`pre-boot` is no moment at which calls are made"),
            ("unregistervm :id --delete", "vbox-rs's part"),
            ("modifivm :id", "no command of `VBoxManage`"),
            ("modifyvm :id a\0b", "NUL"),
        ] {
            let Err(found) = customization(words(text)) else { panic!("{text} is taken") };
            assert!(found.text.contains(complaint), "{text}: {}", found.text);
        }
    }
}
