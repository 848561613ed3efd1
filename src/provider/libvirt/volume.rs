//! Volumes: what of a machine lies in a storage pool of its host, where the host is another one or the machine file names a
//! pool. Here are their names and descriptions; `volume_store` makes and removes them.
//!
//! **What lies there.** A copy of each of the box's images, named by its content, which all machines at that host share,
//! whoever's they are; and for each machine its overlays and its seed, named by its id. Every name begins with ours, and no
//! volume of another name is ever touched.
//!
//! **A copy is whole or nobody's.** libvirt cannot rename a volume, so a copy cannot be uploaded under another name. Instead
//! each upload makes a name of its own (content and a random number), which the record of the machine that uploads has
//! before it exists; and when the last byte has arrived, a second, empty volume is made beside it (`….whole`). Without that
//! one nobody rests on the copy, and whoever's record names it removes it, by the next `up` or by `destroy`.
//!
//! **A copy goes with the last machine.** That is seen in the pool itself, which knows what every overlay in it rests on: no
//! number is kept that could be wrong, other users' machines count too, and a host that is never asked again keeps nothing of
//! ours. The price is another upload for the first machine after the last one. Whoever removes a copy takes its mark away,
//! looks again, and only then removes it; whoever makes an overlay looks for the mark afterwards: one of both sees the other.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::xml::{Element, element};
use crate::store::MachineId;

/// How the names of all our volumes begin.
pub const PREFIX: &str = "vbox-rs-";

/// The pool at other hosts where the machine file names none; libvirt's tools make it at most places.
pub const USUAL: &str = "default";

/// Where a machine's volumes lie, in its record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Storage {
    /// The pool.
    pub pool: String,
    /// What its disks rest on, in their order.
    pub images: Vec<StoredImage>,
    /// What belongs to this machine alone: overlays and seed. Named before they are made.
    pub own: Vec<String>,
    /// A copy that this machine is uploading, or was when it was killed.
    pub upload: Option<String>,
}

impl Storage {
    /// For a new machine.
    pub fn at(pool: &str) -> Self {
        Self { pool: pool.into(), ..Self::default() }
    }

    /// Whether nothing was ever made in the pool.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.upload.is_none() && self.images.iter().all(|image| image.volume.is_none())
    }
}

/// One of the box's images, and its copy in the pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredImage {
    /// The image in the library.
    pub path: PathBuf,
    /// Its content.
    pub sha256: String,
    /// `qcow2` or `raw`.
    pub format: String,
    /// Bytes of its file.
    pub length: u64,
    /// Bytes that a guest sees.
    pub size: u64,
    /// The copy, once one was found or made.
    pub volume: Option<String>,
}

/// A name for another copy.
pub fn copy_name(image: &StoredImage, number: u32) -> String {
    format!("{PREFIX}sha256-{}-{number:08x}.{}", image.sha256, image.format)
}

/// What stands beside a copy that is whole.
pub fn mark_of(copy: &str) -> String {
    format!("{}.whole", copy.rsplit_once('.').map_or(copy, |(stem, _)| stem))
}

/// The copies of an image that are said to be whole, and the marks whose copies somebody removed.
pub fn copies(names: &[String], image: &StoredImage) -> (Vec<String>, Vec<String>) {
    let begin = format!("{PREFIX}sha256-{}-", image.sha256);
    let ours = |end: &str| -> Vec<String> {
        names.iter().filter(|name| name.starts_with(&begin) && name.ends_with(end)).cloned().collect()
    };
    let (mut whole, all) = (ours(".whole"), ours(&format!(".{}", image.format)));
    let mut marked: Vec<_> = all.into_iter().filter(|copy| names.contains(&mark_of(copy))).collect();
    whole.retain(|mark| !marked.iter().any(|copy| mark_of(copy) == *mark));
    marked.sort();
    (marked, whole)
}

/// The name of an overlay.
pub fn disk_name(id: MachineId, index: usize) -> String {
    format!("{PREFIX}{id}-disk{index}.qcow2")
}

/// The name of a seed.
pub fn seed_name(id: MachineId) -> String {
    format!("{PREFIX}{id}-seed.img")
}

/// An empty volume, for the bytes of a file: how many of them arrived is seen by its size. Everybody at its host may read a
/// copy, as QEMU must, whoever it runs as.
pub fn plain(name: &str, shared: bool) -> String {
    described(name, 0, "raw", if shared { "0644" } else { "0600" }).child(element("allocation").text("0")).render()
}

/// What says that a copy is whole.
pub fn mark(copy: &str) -> String {
    plain(&mark_of(copy), true)
}

/// An empty disk of `size` bytes.
pub fn empty(name: &str, size: u64) -> String {
    described(name, size, "qcow2", "0600").render()
}

/// An overlay of `size` bytes on the volume at `path`.
pub fn overlay(name: &str, size: u64, (path, format): (&str, &str)) -> String {
    let below = element("backingStore").child(element("path").text(path)).child(element("format").with("type", format));
    described(name, size, "qcow2", "0600").child(below).render()
}

fn described(name: &str, size: u64, format: &'static str, mode: &str) -> Element {
    let target = element("target")
        .child(element("format").with("type", format))
        .child(element("permissions").child(element("mode").text(mode)));
    element("volume")
        .child(element("name").text(name))
        .child(element("capacity").with("unit", "bytes").text(size.to_string()))
        .child(target)
}

/// Where the volume of a description lies, and the path of what it rests on.
pub fn backing(xml: &str) -> Option<String> {
    let document = roxmltree::Document::parse(xml).ok()?;
    let store = document.root_element().children().find(|node| node.has_tag_name("backingStore"))?;
    let path = store.children().find(|node| node.has_tag_name("path"))?;
    path.text().map(Into::into)
}

/// Whether a pool of this description holds files, as overlays need them; else its type.
pub fn holds_files(xml: &str) -> Result<(), String> {
    let kind = roxmltree::Document::parse(xml).ok();
    let kind = kind.and_then(|document| document.root_element().attribute("type").map(str::to_owned));
    match kind.as_deref() {
        Some("dir" | "fs" | "netfs" | "gluster") => Ok(()),
        other => Err(other.unwrap_or("unknown").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> StoredImage {
        StoredImage {
            path: "/l/x".into(),
            sha256: "ab".repeat(32),
            format: "qcow2".into(),
            length: 10,
            size: 20,
            volume: None,
        }
    }

    #[test]
    fn a_copy_counts_only_with_its_mark_and_a_mark_only_with_its_copy() {
        let (image, other) = (image(), StoredImage { sha256: "cd".repeat(32), ..image() });
        let [first, half, gone] = [1, 2, 3].map(|number| copy_name(&image, number));
        assert_eq!(first, format!("vbox-rs-sha256-{}-00000001.qcow2", "ab".repeat(32)));
        let names = [
            first.clone(),
            mark_of(&first),
            half,
            mark_of(&gone),
            copy_name(&other, 4),
            mark_of(&copy_name(&other, 4)),
            "default.qcow2".to_owned(),
        ];
        assert_eq!(copies(&names, &image), (vec![first], vec![mark_of(&gone)]));
        assert_eq!(copies(&[], &image), (vec![], vec![]));
    }

    #[test]
    fn descriptions_are_what_libvirt_reads() {
        let id: MachineId = "00112233445546778899aabbccddeeff".parse().unwrap();
        let text = overlay(&disk_name(id, 0), 1 << 30, ("/pool/a & b", "qcow2"));
        assert_eq!(
            text,
            "<volume>\n  <name>vbox-rs-00112233445546778899aabbccddeeff-disk0.qcow2</name>\n  \
             <capacity unit=\"bytes\">1073741824</capacity>\n  <target>\n    <format type=\"qcow2\"/>\n    \
             <permissions>\n      <mode>0600</mode>\n    </permissions>\n  </target>\n  <backingStore>\n    \
             <path>/pool/a &amp; b</path>\n    <format type=\"qcow2\"/>\n  </backingStore>\n</volume>\n"
        );
        assert_eq!(backing(&text).as_deref(), Some("/pool/a & b"));
        assert_eq!(backing(&plain("x", true)), None);
        assert!(mark("a-1.qcow2").contains("<name>a-1.whole</name>"));
    }

    #[test]
    fn only_pools_of_files_take_overlays() {
        assert_eq!(holds_files("<pool type='dir'><name>x</name></pool>"), Ok(()));
        assert_eq!(holds_files("<pool type='logical'/>"), Err("logical".into()));
        assert_eq!(holds_files("<"), Err("unknown".into()));
    }
}
