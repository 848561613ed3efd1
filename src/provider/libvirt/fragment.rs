//! Elements of the machine file that go into a domain's description as they are (`xml`). They come from the user alone, never
//! from a box, and are told at each start: what they mean is between the user and libvirt, which is made to refuse what it
//! does not know (`Connection::define`): by itself it would leave that out without a word.

use std::borrow::Cow;

use super::super::{Finding, Level};
use super::xml::{Element, element};

/// Names the elements that libvirt hands on to QEMU as they are.
pub const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// The one of them that is taken: our own has the network, and what the user's says comes after it.
const COMMAND_LINE: &str = "commandline";

/// libvirt's limit for a whole description is 10 MiB; nobody writes such a one by hand.
const LIMIT: usize = 64 << 10;

/// Where an element belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Beside our own below `<domain>`.
    Domain,
    /// Into `<devices>`.
    Devices,
    /// Into our `<qemu:commandline>`.
    CommandLine,
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
    "on_lockfailure",
    "perf",
    "pm",
    "resource",
    "sysinfo",
    "vcpus",
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
    fragments.iter().filter(|text| name(text).is_ok_and(|(_, found)| found == place)).cloned().collect()
}

/// What a `<qemu:commandline>` of the user's has in it.
pub fn command_line(fragments: &[String]) -> Vec<Element> {
    let parts = parts(fragments, Place::CommandLine);
    let texts: Vec<_> = parts.iter().map(|text| bound(text)).collect();
    let documents = texts.iter().filter_map(|text| roxmltree::Document::parse(text).ok());
    documents.flat_map(|document| handed_on(document.root_element()).unwrap_or_default()).collect()
}

/// The arguments and variables of a `<qemu:commandline>`; else the name of what is neither.
fn handed_on(line: roxmltree::Node<'_, '_>) -> Result<Vec<Element>, String> {
    let elements = line.children().filter(roxmltree::Node::is_element);
    let read = |node: roxmltree::Node<'_, '_>| match node.tag_name().name() {
        "arg" => Ok(element("qemu:arg").with("value", node.attribute("value").unwrap_or_default())),
        "env" => {
            let variable = element("qemu:env").with("name", node.attribute("name").unwrap_or_default());
            Ok(match node.attribute("value") {
                Some(value) => variable.with("value", value),
                None => variable,
            })
        }
        other => Err(other.to_owned()),
    };
    elements.map(read).collect()
}

/// The text with the prefix `qemu` explained, as it is on our `<domain>`.
fn bound(text: &str) -> Cow<'_, str> {
    match text.trim_start().strip_prefix("<qemu:commandline") {
        Some(rest) if !rest.contains("xmlns:qemu") => format!("<qemu:commandline xmlns:qemu=\"{QEMU}\"{rest}").into(),
        _ => text.into(),
    }
}

/// Elements and attributes that are not in a `description` which they were added to.
pub fn missing(fragments: &[String], description: &str) -> Vec<String> {
    let Ok(whole) = roxmltree::Document::parse(description) else { return Vec::new() };
    let mut missing = Vec::new();
    for text in fragments.iter().filter(|text| name(text).is_ok_and(|(_, place)| place != Place::CommandLine)) {
        let Ok(document) = roxmltree::Document::parse(text) else { continue };
        for node in document.descendants().filter(roxmltree::Node::is_element) {
            let name = node.tag_name().name();
            let there: Vec<_> = whole.descendants().filter(|there| there.tag_name().name() == name).collect();
            if there.is_empty() {
                missing.push(format!("<{name}>"));
                continue;
            }
            let lost = node.attributes().filter(|own| !there.iter().any(|there| there.has_attribute(own.name())));
            missing.extend(lost.map(|own| format!("`{}` of <{name}>", own.name())));
        }
    }
    missing
}

/// What speaks against them, and that they are there.
pub fn findings(fragments: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut names = Vec::new();
    for text in fragments {
        match name(text) {
            Ok((name, _)) => names.push(format!("<{name}>")),
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

/// The name of the one element that `text` is, and where it belongs.
fn name(text: &str) -> Result<(String, Place), (String, String)> {
    let begin: String = text.trim().chars().take(60).collect();
    let begin = begin.escape_debug();
    if text.len() > LIMIT {
        return Err((format!("`xml` has more than {} KiB: {begin}…", LIMIT >> 10), "leave it out".into()));
    }
    let bound = bound(text);
    let document = roxmltree::Document::parse(&bound).map_err(|why| {
        (format!("`xml` cannot be read: {why}: {begin}"), "write one whole element in each text".to_owned())
    })?;
    let root = document.root_element();
    let name = root.tag_name().name();
    if let Some(namespace) = root.tag_name().namespace() {
        return foreign(root, namespace);
    }
    if OURS.contains(&name) {
        let text = format!("`xml` has <{name}>, which the machine file says in other ways");
        return Err((text, "leave it out; Vagrantfile.example has the options".into()));
    }
    Ok((name.to_owned(), if DOMAIN.contains(&name) { Place::Domain } else { Place::Devices }))
}

/// The same for an element that belongs to another namespace than libvirt's own.
fn foreign(root: roxmltree::Node<'_, '_>, namespace: &str) -> Result<(String, Place), (String, String)> {
    let name = root.tag_name().name();
    if namespace != QEMU || name != COMMAND_LINE {
        let text = format!("`xml` has <{name}> of the namespace `{}`", namespace.escape_debug());
        return Err((text, "leave it out: of the elements with a namespace only <qemu:commandline> is taken".into()));
    }
    match handed_on(root) {
        Ok(_) => Ok(("qemu:commandline".into(), Place::CommandLine)),
        Err(other) => {
            let text = format!("<qemu:commandline> of `xml` has <{other}> in it");
            Err((text, "write <qemu:arg value='…'/> and <qemu:env name='…' value='…'/>".into()))
        }
    }
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
    fn words_for_qemu_are_taken_with_their_namespace_or_without() {
        let all = texts(&[
            "<qemu:commandline><qemu:arg value='-name'/><qemu:arg value='a &amp; b'/></qemu:commandline>",
            "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><q:env name='A' value='1'/></q:commandline>",
            "<vcpus><vcpu id='0' enabled='yes' hotpluggable='no'/></vcpus>",
            "<on_lockfailure>pause</on_lockfailure>",
        ]);
        assert!(
            findings(&all).iter().all(|told| told.level == Level::Warning && told.text.contains("<qemu:commandline>"))
        );
        assert_eq!(
            command_line(&all),
            [
                element("qemu:arg").with("value", "-name"),
                element("qemu:arg").with("value", "a & b"),
                element("qemu:env").with("name", "A").with("value", "1"),
            ]
        );
        assert_eq!(parts(&all, Place::Domain), all[2..]);
        assert!(parts(&all, Place::Devices).is_empty());
    }

    #[test]
    fn what_was_left_out_of_a_description_is_named() {
        let all =
            texts(&["<whatdog/>", "<watchdog model='m' acton='x'><b/></watchdog>", "<qemu:commandline/>", "<nonsense"]);
        let description = "<domain><devices><watchdog model='other' action='reset'/></devices></domain>";
        assert_eq!(missing(&all, description), ["<whatdog>", "`acton` of <watchdog>", "<b>"]);
        assert!(missing(&all, "<").is_empty());
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
            ("<qemu:override/>", "cannot be read"),
            ("<q:override xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>", "<override> of the namespace `http"),
            ("<commandline xmlns='http://libvirt.org/schemas/domain/xen/1.0'/>", "domain/xen/1.0`"),
            ("<qemu:commandline><qemu:args value='-S'/></qemu:commandline>", "<args>"),
        ] {
            let told = findings(&texts(&[text]));
            assert!(told.len() == 1 && told[0].level == Level::Bad && told[0].text.contains(words), "{text}: {told:?}");
        }
        let long = format!("<x>{}</x>", "y".repeat(LIMIT));
        assert!(findings(&[long])[0].text.contains("more than 64 KiB"));
        assert!(findings(&[]).is_empty());
    }
}
