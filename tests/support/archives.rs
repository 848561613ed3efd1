//! Zip archives, and images and descriptions of other hypervisors.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// How a file lies in a zip archive.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Zipped {
    Stored,
    Deflated,
    /// With its length behind it, as programs that write into a pipe do.
    Streamed,
    /// The same without compression: nobody can tell where such a file ends.
    StoredStreamed,
}

/// A zip archive of files.
pub fn zip(how: Zipped, entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut list = Vec::new();
    for (name, content) in entries {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let deflated = matches!(how, Zipped::Deflated | Zipped::Streamed);
        let packed = if deflated { deflate(content) } else { content.to_vec() };
        let streamed = matches!(how, Zipped::Streamed | Zipped::StoredStreamed);
        let lengths = [crc.sum(), length(&packed), length(content)].map(u32::to_le_bytes).concat();
        let at = length(&archive);
        let mut fixed = Vec::new();
        fixed.extend(20u16.to_le_bytes());
        fixed.extend(if streamed { 8u16 } else { 0 }.to_le_bytes());
        fixed.extend(if deflated { 8u16 } else { 0 }.to_le_bytes());
        fixed.extend([0; 4]);
        archive.extend(b"PK\x03\x04");
        archive.extend(&fixed);
        archive.extend(if streamed { vec![0; 12] } else { lengths.clone() });
        archive.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        archive.extend([0; 2]);
        archive.extend(name.as_bytes());
        archive.extend(packed);
        if streamed {
            archive.extend(b"PK\x07\x08");
            archive.extend(&lengths);
        }
        list.extend(b"PK\x01\x02\x14\x00");
        list.extend(&fixed);
        list.extend(&lengths);
        list.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        list.extend([0; 12]);
        list.extend(at.to_le_bytes());
        list.extend(name.as_bytes());
    }
    let count = u16::try_from(entries.len()).unwrap().to_le_bytes();
    let at = length(&archive);
    archive.extend(&list);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend([count, count].concat());
    archive.extend(length(&list).to_le_bytes());
    archive.extend(at.to_le_bytes());
    archive.extend([0; 2]);
    archive
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zst(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The content of a disk of `size` bytes: a boot sector, and some megabytes that do not compress.
pub fn content(size: usize) -> Vec<u8> {
    let mut disk = vec![0; size];
    let noise = crate::images::qcow2(size / 4);
    disk[size / 4..][..noise.len()].copy_from_slice(&noise);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

/// Converts `content` with `qemu-img` in the folder `dir`, into the file `name`; false (and a printed reason) without it.
pub fn qemu_img(dir: &Path, content: &[u8], format: &str, options: &str, name: &str) -> bool {
    std::fs::write(dir.join("content.raw"), content).unwrap();
    let mut command = Command::new("qemu-img");
    command.args(["convert", "-f", "raw", "-O", format]).current_dir(dir);
    if !options.is_empty() {
        command.args(["-o", options]);
    }
    let done = command.args(["content.raw", name]).output();
    std::fs::remove_file(dir.join("content.raw")).unwrap();
    match done {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            true
        }
        Err(error) => {
            println!("skipped: it takes qemu-img ({error})");
            false
        }
    }
}

/// The image that `qemu-img` makes of `content`.
pub fn image(content: &[u8], format: &str, options: &str) -> Option<Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    qemu_img(dir.path(), content, format, options, "image").then(|| std::fs::read(dir.path().join("image")).unwrap())
}

/// A description in VirtualBox's manner; disks hang on a SATA controller in their order.
pub fn ovf(disks: &[&str]) -> String {
    let mut text = String::from(
        r#"<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References>"#,
    );
    for (at, disk) in disks.iter().enumerate() {
        writeln!(text, "<File ovf:id=\"file{at}\" ovf:href=\"{disk}\"/>").unwrap();
    }
    text += "</References><DiskSection><Info>List of the virtual disks</Info>\n";
    for at in 0..disks.len() {
        writeln!(text, "<Disk ovf:capacity=\"8388608\" ovf:diskId=\"vmdisk{at}\" ovf:fileRef=\"file{at}\"/>").unwrap();
    }
    text += r#"</DiskSection><VirtualSystem ovf:id="box"><OperatingSystemSection ovf:id="96">
<vbox:OSType ovf:required="false">Debian_64</vbox:OSType></OperatingSystemSection><VirtualHardwareSection>
<Item><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
<Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1024</rasd:VirtualQuantity></Item>
<Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>
<Item><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
"#;
    for at in 0..disks.len() {
        writeln!(
            text,
            "<Item><rasd:AddressOnParent>{at}</rasd:AddressOnParent><rasd:HostResource>/disk/vmdisk{at}</rasd:HostResource>\
             <rasd:InstanceID>1{at}</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>"
        )
        .unwrap();
    }
    text + "</VirtualHardwareSection></VirtualSystem></Envelope>\n"
}
