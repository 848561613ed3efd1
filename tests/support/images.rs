//! Boxes and disk images, good and bad.

use std::io::Write;

/// The metadata of a box of Vagrant's.
pub const LIBVIRT: &[u8] = br#"{"provider":"libvirt","format":"qcow2","virtual_size":1}"#;

/// A qcow2 header of version 3 and `size` bytes of content that does not compress.
pub fn qcow2(size: usize) -> Vec<u8> {
    let mut image = vec![0; 512];
    image[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
    image[20..24].copy_from_slice(&16u32.to_be_bytes());
    image[24..32].copy_from_slice(&(1u64 << 30).to_be_bytes());
    image[96..100].copy_from_slice(&4u32.to_be_bytes());
    image[100..104].copy_from_slice(&104u32.to_be_bytes());
    let mut state = 88_172_645_463_325_252u64;
    while image.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        image.extend(state.to_le_bytes());
    }
    image.truncate(size.max(512));
    image
}

/// An image that would show the guest a file of the host.
pub fn with_backing_file(name: &str) -> Vec<u8> {
    let mut image = qcow2(4096);
    image[8..16].copy_from_slice(&1024u64.to_be_bytes());
    image[16..20].copy_from_slice(&u32::try_from(name.len()).unwrap().to_be_bytes());
    image[1024..1024 + name.len()].copy_from_slice(name.as_bytes());
    image
}

/// An image whose content lies in another file.
pub fn with_data_file() -> Vec<u8> {
    let mut image = qcow2(4096);
    image[72..80].copy_from_slice(&4u64.to_be_bytes());
    image
}

/// One header of an archive, whatever it claims.
pub fn header(kind: tar::EntryType, name: &[u8], size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

/// An archive of files.
pub fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in entries {
        let header = header(tar::EntryType::Regular, name.as_bytes(), content.len() as u64);
        builder.append(&header, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A good box whose disk has `size` bytes.
pub fn plain_box(size: usize) -> Vec<u8> {
    gz(&tar(&[("./metadata.json", LIBVIRT), ("./box.img", &qcow2(size))]))
}
