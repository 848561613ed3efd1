//! The seed for VirtualBox, which attaches no plain image: a VMDK descriptor beside it that says where its sectors are.
//! Nothing is copied.

use std::path::Path;

use super::super::Error;
use super::machine::VIRTUALBOX;
use crate::store::{self, MachineId};

const SECTOR: u64 = 512;

/// Writes the descriptor of the image `seed`, unless it is there. The image may be written anew at any time, as long as
/// its length stays.
pub fn describe(seed: &Path, descriptor: &Path, id: MachineId) -> Result<(), Error> {
    let meta = seed.metadata().map_err(|_| Error::FileMissing { what: "the seed", path: seed.into() })?;
    let text = descriptor_text(&extent(seed, descriptor)?, meta.len() / SECTOR, &uuid(id));
    // VirtualBox writes into it too.
    if store::read_bounded(descriptor, 1 << 16)?.is_some_and(|old| same(&String::from_utf8_lossy(&old), &text)) {
        return Ok(());
    }
    Ok(store::write_atomic(descriptor, text.as_bytes(), 0o600)?)
}

/// How the descriptor names the image: by its name alone where they lie side by side, so that both can be moved.
fn extent(seed: &Path, descriptor: &Path) -> Result<String, Error> {
    let seed = std::path::absolute(seed).map_err(|e| store::Error::io("find", seed, e))?;
    let beside = seed.parent() == descriptor.parent();
    let name = if beside { seed.file_name().map(Path::new) } else { Some(seed.as_path()) };
    // The format knows no way to write a quote, and ends a line at its end.
    let written = |name: &&str| !name.contains(|c: char| c == '"' || c.is_control());
    let name = name.and_then(Path::to_str).filter(written);
    name.map(str::to_owned).ok_or(Error::Unable {
        provider: VIRTUALBOX,
        what: "read a seed whose path has quotes or letters that are no text",
        hint: "rename its folder",
    })
}

/// Whether two descriptors describe one image.
fn same(a: &str, b: &str) -> bool {
    let extent = |text: &str| text.lines().find(|line| line.starts_with("RW ")).map(str::to_owned);
    extent(a) == extent(b)
}

/// The same for each seed of a machine: VirtualBox knows the medium by it.
fn uuid(id: MachineId) -> String {
    let mut uuid = id.uuid();
    // The last digits differ from the machine's own; those that make it a UUID do not.
    let last = u64::from_str_radix(&uuid[24..], 16).unwrap_or_default() ^ 0x5eed;
    uuid.replace_range(24.., &format!("{last:012x}"));
    uuid
}

fn descriptor_text(name: &str, sectors: u64, uuid: &str) -> String {
    let cylinders = (sectors / (16 * 63)).clamp(1, 16_383);
    let none = "00000000-0000-0000-0000-000000000000";
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=5eed5eed\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n\
         # Extent description\nRW {sectors} FLAT \"{name}\" 0\n\n# The disk Data Base\n#DDB\n\n\
         ddb.virtualHWVersion = \"4\"\nddb.adapterType=\"ide\"\nddb.geometry.cylinders=\"{cylinders}\"\n\
         ddb.geometry.heads=\"16\"\nddb.geometry.sectors=\"63\"\nddb.uuid.image=\"{uuid}\"\n\
         ddb.uuid.parent=\"{none}\"\nddb.uuid.modification=\"{none}\"\nddb.uuid.parentmodification=\"{none}\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_names_the_image_and_stays_as_virtualbox_leaves_it() {
        let dir = tempfile::tempdir().unwrap();
        let (seed, descriptor) = (dir.path().join("seed.img"), dir.path().join("seed.vmdk"));
        let id = "00112233445546778899aabbccddeeff".parse().unwrap();
        assert!(describe(&seed, &descriptor, id).unwrap_err().to_string().starts_with("the seed "));
        std::fs::write(&seed, vec![0; 1 << 20]).unwrap();
        describe(&seed, &descriptor, id).unwrap();
        let text = std::fs::read_to_string(&descriptor).unwrap();
        assert!(text.contains("RW 2048 FLAT \"seed.img\" 0\n"), "{text}");
        assert!(text.contains("ddb.uuid.image=\"00112233-4455-4677-8899-aabbccddb012\""), "{text}");
        let changed = text.replace("CID=5eed5eed", "CID=00000001");
        std::fs::write(&descriptor, &changed).unwrap();
        describe(&seed, &descriptor, id).unwrap();
        assert_eq!(std::fs::read_to_string(&descriptor).unwrap(), changed);
        std::fs::write(&seed, vec![0; 2 << 20]).unwrap();
        describe(&seed, &descriptor, id).unwrap();
        assert!(std::fs::read_to_string(&descriptor).unwrap().contains("RW 4096 FLAT"));
    }

    #[test]
    fn an_image_that_lies_elsewhere_is_named_by_its_whole_path() {
        let descriptor = Path::new("/m/seed.vmdk");
        let named = |seed: &str| extent(Path::new(seed), descriptor);
        assert_eq!(named("/m/seed.img").unwrap(), "seed.img");
        assert_eq!(named("/a, b/seed,img").unwrap(), "/a, b/seed,img");
        for bad in ["/a\"b/seed.img", "/m/se\ned.img"] {
            assert!(named(bad).unwrap_err().to_string().contains("quotes"), "{bad}");
        }
    }
}
