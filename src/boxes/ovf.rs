//! OVF descriptions: which disks a virtual machine has, and what hardware. Text of a stranger.
//!
//! See DMTF's DSP0243 for the format; what VirtualBox and VMware add to it is read too. The XML reader knows no document
//! types, so there are no entities that could name files of the host or grow without end.

use roxmltree::{Document, Node, ParsingOptions};

use super::name::printable;
use super::{DiskBus, Firmware, Hardware};
use crate::config::spec::mac_address;

/// VirtualBox writes some 20 KiB, and embeds icons at worst.
pub const LIMIT: usize = 1 << 20;

/// Elements, texts and attributes: far more than any machine has.
const NODES_LIMIT: u32 = 100_000;

/// Declared in the whole description; exports have some ten.
const NAMESPACES_LIMIT: usize = 500;

/// Of one element.
const ATTRIBUTES_LIMIT: usize = 1000;

/// As many as a box may have.
const DISKS_LIMIT: usize = 26;

/// CIM's numbers of resources.
mod resource {
    pub const CPU: &str = "3";
    pub const MEMORY: &str = "4";
    pub const IDE: &str = "5";
    pub const SCSI: &str = "6";
    pub const ETHERNET: &str = "10";
    pub const DISK: &str = "17";
    pub const OTHER_STORAGE: &str = "20";
}

/// What a description says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ovf {
    /// Names of its disks' files, in the order of attachment.
    pub disks: Vec<String>,
    /// Its machine.
    pub hardware: Hardware,
}

/// Why a description is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Larger than any.
    #[error("it has {0} bytes; {LIMIT} are accepted")]
    TooLarge(usize),
    /// Not XML, or not the harmless part of it.
    #[error("it is broken: {0}")]
    Xml(String),
    /// A document type may define entities that name files of the host.
    #[error("it defines a document type, which may name files of this computer")]
    DocumentType,
    /// XML of another kind.
    #[error("it is not an OVF description")]
    NotOvf,
    /// It has a disk whose file is described nowhere.
    #[error("its disk `{0}` has no file")]
    NoFile(String),
    /// No disks at all.
    #[error("it has no disk")]
    NoDisk,
    /// More than any box has.
    #[error("it has {0} disks; {DISKS_LIMIT} are accepted")]
    Disks(usize),
    /// Several machines: an appliance.
    #[error("it describes {0} machines; a box has one")]
    Machines(usize),
    /// A disk's file is compressed, or in pieces, by OVF's own means.
    #[error("its file `{0}` is compressed or cut in pieces, which nobody does")]
    Packed(String),
}

/// Whether a file that begins so is probably a description: the root element tells.
pub fn is_ovf(head: &[u8]) -> bool {
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let start = &text[..text.len().min(4096)];
    text.starts_with(b"<") && start.windows(9).any(|window| window == b"Envelope ")
}

impl Ovf {
    /// Reads a description.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > LIMIT {
            return Err(Error::TooLarge(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| Error::Xml(e.to_string()))?;
        let text = text.trim_start_matches('\u{feff}');
        check_shape(text)?;
        let options = ParsingOptions { allow_dtd: false, nodes_limit: NODES_LIMIT, ..ParsingOptions::default() };
        let document = Document::parse_with_options(text, options).map_err(|error| match error {
            roxmltree::Error::DtdDetected => Error::DocumentType,
            other => Error::Xml(printable(&other.to_string())),
        })?;
        let root = document.root_element();
        if root.tag_name().name() != "Envelope" {
            return Err(Error::NotOvf);
        }
        let systems: Vec<_> = root.descendants().filter(|node| is(*node, "VirtualSystem")).collect();
        let [system] = systems.as_slice() else { return Err(Error::Machines(systems.len())) };
        let items = Items::read(*system);
        let disks = disks(root, &items)?;
        Ok(Self { hardware: hardware(root, *system, &items, disks.bus), disks: disks.files })
    }
}

/// The reader of XML compares each attribute of an element with all others of it, and copies an element's name spaces
/// to each below it that has one of its own: a document of the size that is accepted could cost minutes and gigabytes.
fn check_shape(text: &str) -> Result<(), Error> {
    if text.matches("xmlns").count() > NAMESPACES_LIMIT {
        return Err(Error::Xml("it has too many name spaces".into()));
    }
    // No `<` may be in a tag.
    if text.split('<').any(|behind| attributes(behind) > ATTRIBUTES_LIMIT) {
        return Err(Error::Xml("an element has too many attributes".into()));
    }
    Ok(())
}

/// At least as many as the tag has that begins so.
fn attributes(tag: &str) -> usize {
    let mut quote = None;
    let mut count = 0;
    for c in tag.chars() {
        match (c, quote) {
            ('>', None) => break,
            ('"' | '\'', None) => (quote, count) = (Some(c), count + 1),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    count
}

fn is(node: Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

/// By its local name: writers differ in whether they name the namespace.
fn attribute<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attributes().find(|attribute| attribute.name() == name).map(|attribute| attribute.value().trim())
}

fn child_text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.children().find(|child| is(*child, name)).and_then(|child| child.text()).map(str::trim)
}

/// One piece of hardware.
struct Item<'a> {
    kind: &'a str,
    subtype: &'a str,
    id: &'a str,
    parent: &'a str,
    address: u32,
    quantity: Option<u64>,
    units: &'a str,
    disk: Option<&'a str>,
}

struct Items<'a>(Vec<Item<'a>>);

impl<'a> Items<'a> {
    fn read(system: Node<'a, '_>) -> Self {
        let of_kind = |node: &Node<'a, '_>| {
            // OVF 2 has names of their own for two kinds.
            ["Item", "StorageItem", "EthernetPortItem"].iter().any(|name| is(*node, name))
        };
        let read = |node: Node<'a, '_>| {
            let text = |name| child_text(node, name).unwrap_or_default();
            let kind = match text("ResourceType") {
                "" if is(node, "EthernetPortItem") => resource::ETHERNET,
                kind => kind,
            };
            let host = text("HostResource");
            Item {
                kind,
                subtype: text("ResourceSubType"),
                id: text("InstanceID"),
                parent: text("Parent"),
                address: text("AddressOnParent").parse().unwrap_or(0),
                quantity: text("VirtualQuantity").parse().ok(),
                units: text("AllocationUnits"),
                disk: host.rsplit_once('/').filter(|(before, _)| before.ends_with("disk")).map(|(_, id)| id),
            }
        };
        Self(system.descendants().filter(of_kind).map(read).collect())
    }

    fn of(&self, kind: &str) -> impl Iterator<Item = &Item<'a>> {
        self.0.iter().filter(move |item| item.kind == kind)
    }
}

struct Disks {
    files: Vec<String>,
    bus: Option<DiskBus>,
}

/// The files of the disks that hang on the machine, in the order of controllers and ports.
fn disks(root: Node<'_, '_>, items: &Items<'_>) -> Result<Disks, Error> {
    // Each is looked for in the whole description.
    let bounded = |count: usize| if count > DISKS_LIMIT { Err(Error::Disks(count)) } else { Ok(()) };
    let file_of = |disk_id: &str| -> Result<String, Error> {
        let by_id = |name: &str, key: &str, id: &str| {
            root.descendants().find(|node| is(*node, name) && attribute(*node, key) == Some(id))
        };
        let missing = || Error::NoFile(printable(disk_id));
        let disk = by_id("Disk", "diskId", disk_id).ok_or_else(missing)?;
        let file = attribute(disk, "fileRef").and_then(|id| by_id("File", "id", id)).ok_or_else(missing)?;
        let href = attribute(file, "href").filter(|href| !href.is_empty()).ok_or_else(missing)?;
        let packed = |name, usual| attribute(file, name).is_some_and(|value| !value.is_empty() && value != usual);
        if packed("compression", "identity") || attribute(file, "chunkSize").is_some() {
            return Err(Error::Packed(printable(href)));
        }
        Ok(href.to_owned())
    };
    let controller =
        |item: &Item<'_>| items.0.iter().position(|other| !item.parent.is_empty() && other.id == item.parent);
    let mut attached: Vec<_> = items.of(resource::DISK).filter_map(|item| Some((item, item.disk?))).collect();
    bounded(attached.len())?;
    attached.sort_by_key(|(item, _)| (controller(item), item.address));
    let bus = attached.first().and_then(|(item, _)| controller(item)).and_then(|at| items.0.get(at)).and_then(bus_of);
    let mut files = attached.iter().map(|(_, id)| file_of(id)).collect::<Result<Vec<_>, _>>()?;
    if files.is_empty() {
        // Some writers leave the attachment to VirtualBox's own section.
        let all = root.descendants().filter(|node| is(*node, "Disk") && attribute(*node, "fileRef").is_some());
        let ids: Vec<_> = all.filter_map(|disk| attribute(disk, "diskId")).collect();
        bounded(ids.len())?;
        files = ids.into_iter().map(file_of).collect::<Result<_, _>>()?;
    }
    if files.is_empty() { Err(Error::NoDisk) } else { Ok(Disks { files, bus }) }
}

fn bus_of(controller: &Item<'_>) -> Option<DiskBus> {
    let subtype = controller.subtype.to_ascii_lowercase();
    match controller.kind {
        resource::IDE => Some(DiskBus::Ide),
        resource::SCSI => Some(DiskBus::Scsi),
        resource::OTHER_STORAGE if subtype.contains("nvm") => Some(DiskBus::Nvme),
        resource::OTHER_STORAGE if subtype.contains("virtio") => Some(DiskBus::Scsi),
        resource::OTHER_STORAGE => Some(DiskBus::Sata),
        _ => None,
    }
}

fn hardware(root: Node<'_, '_>, system: Node<'_, '_>, items: &Items<'_>, disk_bus: Option<DiskBus>) -> Hardware {
    let cpus = items.of(resource::CPU).find_map(|item| item.quantity).and_then(|cpus| u32::try_from(cpus).ok());
    let memory = items.of(resource::MEMORY).find_map(|item| mebibytes(item.quantity?, item.units));
    let adapter = root.descendants().find(|node| is(*node, "Adapter") && attribute(*node, "slot") == Some("0"));
    let card = items.of(resource::ETHERNET).map(|item| item.subtype).find(|subtype| !subtype.is_empty());
    let card = adapter.and_then(|adapter| attribute(adapter, "type")).or(card);
    let guest_os = system.descendants().find(|node| is(*node, "OSType")).and_then(|node| node.text()).map(str::trim);
    Hardware {
        cpus: cpus.filter(|cpus| (1..=super::hardware::CPUS_LIMIT).contains(cpus)),
        memory: memory.filter(|memory| (1..=super::hardware::MEMORY_LIMIT).contains(memory)),
        mac: adapter.and_then(|adapter| attribute(adapter, "MACAddress")).and_then(mac_address),
        firmware: firmware(root),
        disk_bus,
        nic: card.and_then(super::hardware::nic),
        guest_os: guest_os.and_then(super::hardware::guest_os),
        ..Hardware::default()
    }
}

/// `MegaBytes`, `byte * 2^20`, `byte*2^30`, …; VirtualBox and VMware both mean the first where nothing is said.
fn mebibytes(quantity: u64, units: &str) -> Option<u64> {
    let units: String = units.to_ascii_lowercase().split_whitespace().collect();
    let shift: u32 = match units.as_str() {
        "" | "megabytes" | "mb" | "mib" => 20,
        "gigabytes" | "gb" | "gib" => 30,
        "kilobytes" | "kb" => 10,
        "byte" | "bytes" => 0,
        other => other.strip_prefix("byte*2^")?.parse().ok()?,
    };
    match shift {
        0..20 => Some(quantity >> (20 - shift)),
        20..=40 => quantity.checked_mul(1 << (shift - 20)),
        _ => None,
    }
}

/// VirtualBox's own section, or VMware's settings.
fn firmware(root: Node<'_, '_>) -> Option<Firmware> {
    let of_vmware = |node: &Node<'_, '_>| is(*node, "Config") && attribute(*node, "key") == Some("firmware");
    let ours = root.descendants().find(|node| is(*node, "Firmware")).and_then(|node| attribute(node, "type"));
    let theirs = root.descendants().find(of_vmware).and_then(|node| attribute(node, "value"));
    match ours.or(theirs)?.to_ascii_lowercase() {
        name if name.starts_with("efi") => Some(Firmware::Uefi),
        name if name == "bios" => Some(Firmware::Bios),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::boxes::Nic;

    /// As VirtualBox 7 writes it, shortened.
    const VIRTUALBOX: &str = r#"<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References>
    <File ovf:id="file1" ovf:href="box-disk001.vmdk"/>
    <File ovf:id="file2" ovf:href="box-disk002.vmdk"/>
    <File ovf:id="file3" ovf:href="box-extra.iso"/>
  </References>
  <DiskSection><Info>List of the virtual disks</Info>
    <Disk ovf:capacity="8388608" ovf:diskId="vmdisk2" ovf:fileRef="file2" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
    <Disk ovf:capacity="8388608" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"/>
  </DiskSection>
  <VirtualSystem ovf:id="box"><Info>A virtual machine</Info>
    <OperatingSystemSection ovf:id="96"><Description>Debian_64</Description>
      <vbox:OSType ovf:required="false">Debian_64</vbox:OSType></OperatingSystemSection>
    <VirtualHardwareSection>
      <Item><rasd:Caption>2 virtual CPU</rasd:Caption><rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>3</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
      <Item><rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits><rasd:InstanceID>2</rasd:InstanceID><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>1536</rasd:VirtualQuantity></Item>
      <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>PIIX4</rasd:ResourceSubType><rasd:ResourceType>5</rasd:ResourceType></Item>
      <Item><rasd:InstanceID>4</rasd:InstanceID><rasd:ResourceSubType>AHCI</rasd:ResourceSubType><rasd:ResourceType>20</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>1</rasd:AddressOnParent><rasd:HostResource>/disk/vmdisk2</rasd:HostResource><rasd:InstanceID>5</rasd:InstanceID><rasd:Parent>4</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:AddressOnParent>0</rasd:AddressOnParent><rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource><rasd:InstanceID>6</rasd:InstanceID><rasd:Parent>4</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
      <Item><rasd:HostResource>/file/file3</rasd:HostResource><rasd:InstanceID>7</rasd:InstanceID><rasd:Parent>3</rasd:Parent><rasd:ResourceType>15</rasd:ResourceType></Item>
      <Item><rasd:InstanceID>8</rasd:InstanceID><rasd:ResourceSubType>E1000</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
    </VirtualHardwareSection>
    <vbox:Machine ovf:required="false"><Hardware><Firmware type="EFI"/>
      <Network><Adapter slot="0" enabled="true" MACAddress="080027A1B2C3" type="virtio"/></Network></Hardware></vbox:Machine>
  </VirtualSystem>
</Envelope>"#;

    #[test]
    fn an_export_of_virtualbox_gives_disks_and_hardware() {
        let ovf = Ovf::parse(VIRTUALBOX.as_bytes()).unwrap();
        assert!(is_ovf(VIRTUALBOX.as_bytes()));
        assert_eq!(ovf.disks, ["box-disk001.vmdk", "box-disk002.vmdk"], "by port, not by place in the text");
        let expected = Hardware {
            cpus: Some(2),
            memory: Some(1536),
            mac: Some("08:00:27:a1:b2:c3".into()),
            firmware: Some(Firmware::Uefi),
            disk_bus: Some(DiskBus::Sata),
            nic: Some(Nic::Virtio),
            guest_os: Some("Debian_64".into()),
            ..Hardware::default()
        };
        assert_eq!(ovf.hardware, expected);
    }

    #[test]
    fn vmwares_words_are_understood() {
        let text = r#"<Envelope xmlns:ovf="o" xmlns:rasd="r" xmlns:vmw="v">
            <References><File ovf:id="f" ovf:href="d.vmdk"/></References>
            <DiskSection><Disk ovf:diskId="d" ovf:fileRef="f"/></DiskSection><VirtualSystem>
            <Item><rasd:AllocationUnits>byte * 2^30</rasd:AllocationUnits><rasd:ResourceType>4</rasd:ResourceType><rasd:VirtualQuantity>2</rasd:VirtualQuantity></Item>
            <Item><rasd:InstanceID>3</rasd:InstanceID><rasd:ResourceSubType>lsilogic</rasd:ResourceSubType><rasd:ResourceType>6</rasd:ResourceType></Item>
            <Item><rasd:HostResource>ovf:/disk/d</rasd:HostResource><rasd:Parent>3</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item>
            <Item><rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType><rasd:ResourceType>10</rasd:ResourceType></Item>
            <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="efi"/></VirtualSystem></Envelope>"#;
        let Ovf { disks, hardware } = Ovf::parse(text.as_bytes()).unwrap();
        assert_eq!((disks, hardware.memory), (vec!["d.vmdk".to_owned()], Some(2048)));
        assert_eq!(
            (hardware.disk_bus, hardware.nic, hardware.firmware),
            (Some(DiskBus::Scsi), Some(Nic::Vmxnet3), Some(Firmware::Uefi))
        );
    }

    #[test]
    fn what_is_dangerous_or_makes_no_sense_is_refused() {
        let external = VIRTUALBOX
            .replace("<Envelope ovf", "<!DOCTYPE x [<!ENTITY e SYSTEM \"file:///etc/passwd\">]>\n<Envelope ovf");
        let laughs = format!("<!DOCTYPE x [<!ENTITY a \"{}\">]><Envelope>&a;</Envelope>", "ha".repeat(1000));
        for (text, why) in [
            (external.as_str(), "document type"),
            (&laughs, "document type"),
            ("", "it is broken"),
            ("<Envelope>", "it is broken"),
            ("<Envelope>&e;</Envelope>", "it is broken"),
            ("<html></html>", "not an OVF"),
            ("<Envelope></Envelope>", "describes 0 machines"),
            ("<Envelope><VirtualSystem/><VirtualSystem/></Envelope>", "describes 2 machines"),
            ("<Envelope><VirtualSystem/></Envelope>", "no disk"),
            (&VIRTUALBOX.replace("fileRef=\"file2\"", "fileRef=\"file9\""), "`vmdisk2` has no file"),
            (&VIRTUALBOX.replace("/disk/vmdisk1", "/disk/none"), "`none` has no file"),
            (&VIRTUALBOX.replace("disk001.vmdk\"", "disk001.vmdk\" ovf:compression=\"gzip\""), "compressed"),
            (&"<a>".repeat(300_000), "it is broken"),
            (&format!("{}{}", "<a>".repeat(90_000), "</a>".repeat(90_000)), "not an OVF"),
            (&format!("<Envelope>{}</Envelope>", "<a/>".repeat(150_000)), "it is broken"),
            (&" ".repeat(LIMIT + 1), "are accepted"),
        ] {
            let message = Ovf::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(why), "{why}: {message}");
        }
        assert!(Ovf::parse(b"\xff\xfe<").is_err());
    }

    /// Each could take minutes or gigabytes, and is not larger than what is accepted.
    #[test]
    fn what_would_cost_minutes_is_refused() {
        let many = |one: &dyn Fn(usize) -> String| (0..20_000).map(one).collect::<String>();
        let attributes = format!("<Envelope {}/>", many(&|n| format!("a{n}='' ")));
        let spaces = format!(
            "<Envelope {}>{}</Envelope>",
            many(&|n| format!("xmlns:a{n}='{n}' ")),
            many(&|_| "<a xmlns:b='c'/>".into())
        );
        let item = "<Item><HostResource>ovf:/disk/d</HostResource><ResourceType>17</ResourceType></Item>";
        let attached = format!("<Envelope><VirtualSystem>{}</VirtualSystem></Envelope>", item.repeat(10_000));
        let listed =
            format!("<Envelope>{}<VirtualSystem/></Envelope>", "<Disk diskId='d' fileRef='f'/>".repeat(20_000));
        for (text, why) in [
            (attributes, "an element has too many attributes"),
            (spaces, "too many name spaces"),
            (attached, "it has 10000 disks; 26 are accepted"),
            (listed, "it has 20000 disks; 26 are accepted"),
        ] {
            assert!(text.len() <= LIMIT, "{why}");
            let message = Ovf::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(why), "{why}: {message}");
        }
    }

    #[test]
    fn numbers_that_no_machine_has_are_left_out() {
        let text = VIRTUALBOX.replace(">1536<", ">99999999999<").replace(">2</rasd:V", ">100000</rasd:V");
        let hardware = Ovf::parse(text.as_bytes()).unwrap().hardware;
        assert_eq!((hardware.cpus, hardware.memory), (None, None));
    }

    proptest! {
        #[test]
        fn any_change_is_read_or_refused(at in 0usize..4000, text in "[<>&\"'/!A-Za-z0-9]{0,6}") {
            let mut changed = VIRTUALBOX.to_owned();
            if let Some(end) = (at..changed.len().min(at + 6)).last() {
                changed.replace_range(at..end, &text);
            }
            let _ = Ovf::parse(changed.as_bytes());
        }
    }
}
