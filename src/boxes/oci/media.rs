//! Media types: ours, those of manifests, and those under which others publish disks.

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(super) const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// What a registry is told that we understand.
pub(super) const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

pub(super) const BOX: &str = "application/vnd.vbox-rs.box.v1";
pub(super) const CONFIG: &str = "application/vnd.vbox-rs.box.config.v1+json";
pub(super) const PIECE: &str = "application/vnd.vbox-rs.box.piece.v1+zstd";

pub(super) const TITLE: &str = "org.opencontainers.image.title";
pub(super) const VERSION: &str = "org.opencontainers.image.version";

/// What a box is for; an index says it again.
pub(super) const ARCHITECTURE: &str = "org.vbox-rs.box.architecture";

/// Which file of the box a piece belongs to, where in it, and what it is when it is decompressed.
pub(super) const PIECE_FILE: &str = "org.vbox-rs.piece.file";
pub(super) const PIECE_OFFSET: &str = "org.vbox-rs.piece.offset";
pub(super) const PIECE_SIZE: &str = "org.vbox-rs.piece.size";
pub(super) const PIECE_DIGEST: &str = "org.vbox-rs.piece.digest";

/// Types of layers that a container engine unpacks as a root file system.
const FILE_SYSTEMS: &[&str] = &[
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

/// Configurations of container images: with these a file system is one, without them (as `oras push` writes) a layer of
/// such a type can be any file.
const CONTAINERS: &[&str] =
    &["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Types under which boxes and disk images are pushed as one blob. What is inside is told by its content.
const BLOBS: &[&str] = &[
    "application/octet-stream",
    "application/gzip",
    "application/x-gzip",
    "application/zstd",
    "application/x-tar",
    "application/vnd.vagrant.box",
    "application/x-qemu-disk",
    "application/x-qcow2",
    "application/x-raw-disk-image",
    "application/vnd.com.linbit.virter.layer.v1.qcow2.gzip",
];

/// Whether a text of this type is a manifest or index.
pub(super) fn is_document(media_type: &str) -> bool {
    matches!(media_type, MANIFEST | INDEX | DOCKER_MANIFEST | DOCKER_INDEX)
}

/// How a layer of somebody else's artifact is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A root file system with one image below `disk/` (KubeVirt's containerDisk).
    ContainerDisk,
    /// A box or a disk image.
    Blob,
}

/// How to read a layer; `None` for types that say nothing of a disk.
pub(super) fn shape(config: &str, layer: &str) -> Option<Shape> {
    match (CONTAINERS.contains(&config), FILE_SYSTEMS.contains(&layer)) {
        (true, true) => Some(Shape::ContainerDisk),
        (false, true) => Some(Shape::Blob),
        _ => BLOBS.contains(&layer).then_some(Shape::Blob),
    }
}
