//! What snapshots of other clients do to a machine's disks. `virsh snapshot-create --disk-only` lets the guest write into a new
//! file from then on, which rests on ours: a definition that names ours again would take the guest back, and spoil both.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use roxmltree::{Document, Node};

use crate::store;

/// A disk that another file, or volume, lies over.
#[derive(Debug, PartialEq, Eq)]
pub struct PutOver {
    /// libvirt's name of it (`vda`).
    pub disk: String,
    /// Ours.
    pub ours: String,
    /// What the guest writes to.
    pub other: String,
}

/// The disk for which the definition `now` names another place than `ours`.
pub fn put_over(ours: &str, now: &str) -> Option<PutOver> {
    all_put_over(ours, now).into_iter().next()
}

fn all_put_over(ours: &str, now: &str) -> Vec<PutOver> {
    let (Ok(ours), Ok(now)) = (Document::parse(ours), Document::parse(now)) else { return Vec::new() };
    let before = disks(&ours);
    let over = |(disk, place): (&str, &str)| {
        let was = before.iter().find(|(other, _)| *other == disk)?.1;
        (was != place).then(|| PutOver { disk: disk.into(), ours: was.into(), other: place.into() })
    };
    disks(&now).into_iter().filter_map(over).collect()
}

/// The same where nobody knows the definition that the domain had, since that was cut short: `ours` is what it shall become.
/// There may be more disks then, or fewer: a place whose name is one of ours but for its number is none of another's. What
/// `xml` adds may lie anywhere.
pub fn put_over_unknown(ours: &str, now: &str) -> Option<PutOver> {
    let document = Document::parse(ours).ok()?;
    let names: Vec<_> = disks(&document).into_iter().map(|(_, place)| unnumbered(place)).collect();
    let is_ours = |place: &str| ["disk.qcow", "seed.img"].iter().any(|end| unnumbered(place).ends_with(end));
    let all = all_put_over(ours, now).into_iter().filter(|over| is_ours(&over.ours));
    all.into_iter().find(|over| !names.contains(&unnumbered(&over.other)))
}

/// A file's or volume's name without digits.
fn unnumbered(place: &str) -> String {
    let name = place.rsplit('/').next().unwrap_or(place);
    name.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Each disk, and where it lies.
fn disks<'a>(definition: &'a Document<'_>) -> Vec<(&'a str, &'a str)> {
    let child = |disk: Node<'a, '_>, name: &str| disk.children().find(|node| node.has_tag_name(name));
    let read = |disk: Node<'a, '_>| {
        let source = child(disk, "source")?;
        let place = source.attribute("file").or_else(|| source.attribute("volume"))?;
        Some((child(disk, "target")?.attribute("dev")?, place))
    };
    definition.descendants().filter(|node| node.has_tag_name("disk")).filter_map(read).collect()
}

/// The files that such snapshots made beside ours: `disk0.NAME`.
pub fn left(dir: &Path) -> Result<Vec<PathBuf>, store::Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(store::Error::io("read", dir, e)),
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| is_beside_ours(name)).map(|name| dir.join(name)).collect())
}

fn is_beside_ours(name: &str) -> bool {
    let number = name.strip_prefix("disk").and_then(|rest| rest.split_once('.'));
    number.is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(disks: &[(&str, &str)]) -> String {
        let disk = |(dev, source): &(&str, &str)| {
            format!(
                "<disk type='file'><driver name='qemu'/><source {source}/><target dev='{dev}' bus='virtio'/></disk>"
            )
        };
        format!("<domain><devices>{}</devices></domain>", disks.iter().map(disk).collect::<String>())
    }

    #[test]
    fn a_disk_that_lies_elsewhere_is_told_and_one_that_is_gone_or_new_is_not() {
        let ours = definition(&[("vda", "file='/m/disk0.qcow2'"), ("vdb", "file='/m/seed.img'")]);
        let over = |disks: &[(&str, &str)]| put_over(&ours, &definition(disks));
        assert_eq!(over(&[("vda", "file='/m/disk0.qcow2' index='1'"), ("vdc", "file='/other'")]), None);
        let found =
            |ours: &str, other: &str| Some(PutOver { disk: "vda".into(), ours: ours.into(), other: other.into() });
        assert_eq!(over(&[("vda", "file='/m/disk0.snap'")]), found("/m/disk0.qcow2", "/m/disk0.snap"));
        assert_eq!(put_over(&ours, "<"), None);
        let volume = |name: &str| definition(&[("vda", &format!("pool='p' volume='{name}'"))]);
        assert_eq!(put_over(&volume("a"), &volume("a.s")), found("a", "a.s"));
    }

    #[test]
    fn where_the_former_definition_is_unknown_only_names_of_others_are_told() {
        let ours = definition(&[("vda", "file='/m/disk0.qcow2'"), ("vdb", "file='/m/seed.img'")]);
        let over = |disks: &[(&str, &str)]| put_over_unknown(&ours, &definition(disks)).map(|over| over.other);
        for place in ["/m/disk0.over", "/m/disk0.1732350000", "/elsewhere/x.qcow2"] {
            let source = format!("file='{place}'");
            assert_eq!(over(&[("vda", &source)]).as_deref(), Some(place));
        }
        // It had another disk, and lay elsewhere.
        assert_eq!(over(&[("vda", "file='/old/disk0.qcow2'"), ("vdb", "file='/old/disk1.qcow2'")]), None);
        // A disk of the user's own, which was another one in the definition that failed.
        let with = |own: &str| definition(&[("vdc", own), ("vda", "file='/m/disk0.qcow2'")]);
        assert_eq!(put_over_unknown(&with("file='/b.img'"), &with("file='/a.img'")), None);
        let over = put_over_unknown(
            &with("file='/b.img'"),
            &definition(&[("vdc", "file='/a'"), ("vda", "file='/m/disk0.x'")]),
        );
        assert_eq!(over.unwrap().other, "/m/disk0.x");
        assert_eq!(put_over_unknown("<", &ours), None);
    }

    #[test]
    fn what_snapshots_left_beside_our_disks_is_found() {
        for (name, beside) in [
            ("disk0.1732350000", true),
            ("disk12.before", true),
            ("disk.x", false),
            ("disk0", false),
            ("seed.img", false),
        ] {
            assert_eq!(is_beside_ours(name), beside, "{name}");
        }
    }
}
