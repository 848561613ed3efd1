//! OCI image layouts that other tools wrote (`skopeo copy`, `oras push --oci-layout`, builders of images).

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::images::{LIBVIRT, gz, qcow2, tar, with_backing_file};
use crate::layout::brought;
use crate::world::{Home, sha256, told};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layout that is being written.
#[derive(Default)]
struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Layout {
    fn blob(&mut self, kind: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        self.blobs.insert(format!("blobs/sha256/{digest}"), bytes.to_vec());
        json!({ "mediaType": kind, "digest": format!("sha256:{digest}"), "size": bytes.len() })
    }

    /// A manifest with these layers, each with its type.
    fn manifest(&mut self, config: &str, layers: &[(&str, &[u8])]) -> Value {
        let config = self.blob(config, b"{}");
        let layers: Vec<_> = layers.iter().map(|(kind, bytes)| self.blob(kind, bytes)).collect();
        let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
        self.blob(MANIFEST, manifest.to_string().as_bytes())
    }

    fn index(manifests: &[Value]) -> Value {
        json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
    }

    /// In the order and with the names that `tar cf FILE .` gives.
    fn written(self, manifests: &[Value]) -> Vec<u8> {
        let index = Self::index(manifests).to_string();
        let mut files: Vec<_> =
            self.blobs.iter().map(|(name, bytes)| (format!("./{name}"), bytes.as_slice())).collect();
        files.push(("./index.json".into(), index.as_bytes()));
        files.push(("./oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#));
        tar(&files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect::<Vec<_>>())
    }

    /// One artifact with one layer.
    fn of(config: &str, kind: &str, layer: &[u8]) -> Vec<u8> {
        let mut layout = Self::default();
        let entry = layout.manifest(config, &[(kind, layer)]);
        layout.written(&[entry])
    }
}

fn boxed(image: &[u8]) -> Vec<u8> {
    gz(&tar(&[("metadata.json", LIBVIRT), ("box.img", image), ("include/x", b"x"), ("Vagrantfile", b"# v")]))
}

#[test]
fn a_layout_of_another_tool_is_read_where_its_layer_is_a_box_or_an_image() {
    let image = qcow2(9000);
    let container = gz(&tar(&[("disk/x.qcow2", &image)]));
    for (how, config, kind, layer, bare) in [
        ("a box, as oras pushes it", EMPTY, "application/vnd.vagrant.box", boxed(&image), false),
        ("a box as a layer without a container", EMPTY, LAYER, boxed(&image), false),
        ("an image", EMPTY, "application/x-qemu-disk", image.clone(), true),
        ("a packed image", EMPTY, "application/octet-stream", gz(&image), true),
        ("a containerDisk", IMAGE, LAYER, container, true),
    ] {
        let home = Home::new();
        let installed = home.add_file("web.tar", &Layout::of(config, kind, &layer)).unwrap_or_else(|error| {
            panic!("{how}: {}", told(error).0);
        });
        let manifest = &installed.manifest;
        assert_eq!((manifest.name.as_str(), manifest.bare), ("web", bare), "{how}");
        assert_eq!(manifest.disks[0].sha256, sha256(&image), "{how}");
        if !bare {
            let expected = [("include/x".to_owned(), "x".to_owned()), ("Vagrantfile".into(), "# v".into())];
            assert_eq!(brought(&home, &installed), expected, "{how}");
        }
    }
}

#[test]
fn a_text_beside_the_image_and_an_index_for_several_architectures_do_not_matter() {
    let image = qcow2(5000);
    let mut layout = Layout::default();
    let layers: &[(&str, &[u8])] = &[("text/markdown", b"# read me"), ("application/x-qcow2", &image)];
    let mut ours = layout.manifest(EMPTY, layers);
    ours["platform"] = json!({ "architecture": std::env::consts::ARCH, "os": "linux" });
    let mut other = layout.manifest(EMPTY, &[("application/x-qcow2", b"of another architecture")]);
    other["platform"] = json!({ "architecture": "s390x", "os": "linux" });
    let inner = layout.blob(INDEX, Layout::index(&[other, ours]).to_string().as_bytes());
    let mut tagged = inner;
    tagged["annotations"] = json!({ "org.opencontainers.image.ref.name": "12.4" });
    let home = Home::new();
    let installed = home.add_file("web.tar", &layout.written(&[tagged])).unwrap();
    assert_eq!(installed.manifest.version.to_string(), "12.4");
    assert_eq!(installed.manifest.disks[0].sha256, sha256(&image));
}

#[test]
fn what_a_layout_of_another_tool_holds_instead_is_named() {
    let rootfs = gz(&tar(&[("bin/sh", b"#!"), ("etc/passwd", b"root")]));
    let image = qcow2(5000);
    let two = {
        let mut layout = Layout::default();
        let entry = layout.manifest(EMPTY, &[("application/x-qcow2", &image), ("application/x-qcow2", &image)]);
        layout.written(&[entry])
    };
    let none = {
        let mut layout = Layout::default();
        let entry = layout.manifest(EMPTY, &[]);
        layout.written(&[entry])
    };
    let three_deep = {
        let mut layout = Layout::default();
        let entry = layout.manifest(EMPTY, &[("application/x-qcow2", &image)]);
        let first = layout.blob(INDEX, Layout::index(&[entry]).to_string().as_bytes());
        let second = layout.blob(INDEX, Layout::index(&[first]).to_string().as_bytes());
        layout.written(&[second])
    };
    for (bytes, why) in [
        (
            Layout::of(
                "application/vnd.cncf.helm.config.v1+json",
                "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
                b"x",
            ),
            "is of type `application/vnd.cncf.helm.chart.content.v1.tar+gzip` (of an artifact \
             `application/vnd.cncf.helm.config.v1+json`), which vbox-rs does not know",
        ),
        (Layout::of(IMAGE, LAYER, &rootfs), "does not hold `disk/…`"),
        (Layout::of(EMPTY, "application/x-qcow2", b"<html>"), "it is a web page, not a box"),
        (Layout::of(EMPTY, "application/x-qcow2", &with_backing_file("/etc/shadow")), "/etc/shadow"),
        (two, "it has 2 layers"),
        (none, "it has 0 layers"),
        (three_deep, "an index in an index in an index"),
    ] {
        Home::new().refuses("web.tar", &bytes, why);
    }
}

/// What a real tool writes, where it is installed.
#[test]
fn skopeo_copies_a_layout_and_what_it_wrote_is_added() {
    let home = Home::new();
    let image = qcow2(70_000);
    let folder = home.dir.path().join("first");
    std::fs::create_dir(&folder).unwrap();
    let first = home.write("first.tar", &Layout::of(IMAGE, LAYER, &gz(&tar(&[("disk/x.qcow2", &image)]))));
    let copied = home.dir.path().join("copied.tar");
    let (from, to) = (format!("oci-archive:{}", first.display()), format!("oci-archive:{}:12.1", copied.display()));
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", &from, &to]).stdin(Stdio::null());
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: it takes skopeo ({error})");
            return;
        }
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let installed = home.add(&crate::world::request(&copied)).unwrap();
    assert_eq!(installed.manifest.disks[0].sha256, sha256(&image));
    assert_eq!(installed.manifest.version.to_string(), "12.1");
}
