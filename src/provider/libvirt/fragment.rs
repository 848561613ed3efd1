//! Elements of the machine file that go into a domain's description as they are (`xml`). They come from the user alone, never
//! from a box, and are told at each start: what they mean is between the user and libvirt.

use super::super::{Finding, Level};

/// libvirt's limit for a whole description is 10 MiB; nobody writes such a one by hand.
const LIMIT: usize = 64 << 10;

/// Where an element belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside our own below `<domain>`.
    Domain,
    /// Into `<devices>`.
    Devices,
}

/// What libvirt knows below `<domain>`, beside what we write ourselves.
const DOMAIN: &[&str] = &[
    "blkiotune",
    "cputune",
    "defaultiothread",
    "description",
    "genid",
    "idmap",
    "iothreadids",
    "iothreads",
    "keywrap",
    "launchSecurity",
    "maxMemory",
    "memoryBacking",
    "memtune",
    "numatune",
    "perf",
    "pm",
    "resource",
    "sysinfo",
];

/// What we write ourselves, and may stand there only once.
const OURS: &[&str] = &[
    "bootloader",
    "clock",
    "cpu",
    "currentMemory",
    "devices",
    "domain",
    "features",
    "memballoon",
    "memory",
    "metadata",
    "name",
    "on_crash",
    "on_poweroff",
    "on_reboot",
    "os",
    "seclabel",
    "title",
    "uuid",
    "vcpu",
];

/// The fragments that belong to `place`.
pub fn parts(fragments: &[String], place: Place) -> Vec<String> {
    fragments.iter().filter(|text| name(text).is_ok_and(|name| belongs(&name) == place)).cloned().collect()
}

fn belongs(name: &str) -> Place {
    if DOMAIN.contains(&name) { Place::Domain } else { Place::Devices }
}

/// What speaks against them, and that they are there.
pub fn findings(fragments: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names = Vec::new();
    for text in fragments {
        match name(text) {
            Ok(name) => names.push(format!("<{name}>")),
            Err((text, fix)) => {
                findings.push(Finding { level: Level::Bad, text, fix: Some(fix) });
            }
        }
    }
    if !names.is_empty() {
        let text = format!(
            "the machine file adds {} to the domain's description; nobody checks what that does, or whether the machine \
             survives it",
            names.join(", ")
        );
        findings.push(Finding { level: Level::Warning, text, fix: None });
    }
    findings
}

/// The name of the one element that `text` is.
fn name(text: &str) -> Result<String, (String, String)> {
    let begin: String = text.trim().chars().take(60).collect();
    let begin = begin.escape_debug();
    if text.len() > LIMIT {
        return Err((format!("`xml` has more than {} KiB: {begin}…", LIMIT >> 10), "leave it out".into()));
    }
    let document = roxmltree::Document::parse(text).map_err(|why| {
        (format!("`xml` cannot be read: {why}: {begin}"), "write one whole element in each text".to_owned())
    })?;
    let name = document.root_element().tag_name().name().to_owned();
    if OURS.contains(&name.as_str()) {
        let text = format!("`xml` has <{name}>, which the machine file says in other ways");
        return Err((text, "leave it out; Vagrantfile.example has the options".into()));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(fragments: &[&str]) -> Vec<String> {
        fragments.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn each_element_goes_where_libvirt_looks_for_it() {
        let all = texts(&["<watchdog model='i6300esb'/>", "<memoryBacking><locked/></memoryBacking>", "<nonsense"]);
        assert_eq!(parts(&all, Place::Devices), texts(&["<watchdog model='i6300esb'/>"]));
        assert_eq!(parts(&all, Place::Domain), texts(&["<memoryBacking><locked/></memoryBacking>"]));
    }

    #[test]
    fn they_are_warned_of_once_and_what_is_no_element_of_its_own_is_refused() {
        let told = findings(&texts(&["<watchdog/>", "<hostdev mode='subsystem'/>"]));
        assert_eq!(told.len(), 1);
        assert!(told[0].level == Level::Warning && told[0].text.contains("<watchdog>, <hostdev>"), "{told:?}");
        for (text, words) in [
            ("<a/><b/>", "cannot be read"),
            ("", "cannot be read"),
            ("</devices><seclabel/>", "cannot be read"),
            ("<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>", "cannot be read"),
            ("<seclabel type='none'/>", "<seclabel>"),
            ("<name>other</name>", "<name>"),
        ] {
            let told = findings(&texts(&[text]));
            assert!(told.len() == 1 && told[0].level == Level::Bad && told[0].text.contains(words), "{text}: {told:?}");
        }
        let long = format!("<x>{}</x>", "y".repeat(LIMIT));
        assert!(findings(&[long])[0].text.contains("more than 64 KiB"));
        assert!(findings(&[]).is_empty());
    }
}
