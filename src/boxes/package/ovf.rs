//! The description of a machine for VirtualBox: Open Virtualization Format 1.0, in the form that `VBoxManage export`
//! writes.

use std::fmt::Write as _;

use super::Machine;
use crate::boxes::DiskBus;

/// `CIM_OperatingSystem.OsType` of a Linux for 64 bits, and VirtualBox's own word for the same.
const LINUX: (u32, &str) = (101, "Linux_64");

/// VirtualBox's name of the controller, and the number and subtype of its kind (`CIM_ResourceAllocationSettingData`).
fn controller(bus: Option<DiskBus>) -> (&'static str, u32, &'static str) {
    match bus {
        Some(DiskBus::Ide) => ("ideController0", 5, "PIIX4"),
        Some(DiskBus::Scsi) => ("scsiController0", 6, "lsilogic"),
        // It has no virtio disk, and NVMe only in its extensions.
        _ => ("sataController0", 20, "AHCI"),
    }
}

/// An element of the hardware list: the fields in the order that the schema wants.
fn item(into: &mut String, fields: &[(&str, &str)]) {
    into.push_str("      <Item>\n");
    for (name, value) in fields {
        // Writing into a string does not fail.
        let _ = writeln!(into, "        <rasd:{name}>{value}</rasd:{name}>");
    }
    into.push_str("      </Item>\n");
}

/// Everything but the disks; the controller has the number 3.
fn hardware(machine: &Machine<'_>) -> String {
    let mut items = String::new();
    let (cpus, memory) = (machine.size.0.to_string(), machine.size.1.to_string());
    item(
        &mut items,
        &[
            ("Caption", &format!("{cpus} virtual CPU")),
            ("ElementName", &format!("{cpus} virtual CPU")),
            ("InstanceID", "1"),
            ("ResourceType", "3"),
            ("VirtualQuantity", &cpus),
        ],
    );
    item(
        &mut items,
        &[
            ("AllocationUnits", "MegaBytes"),
            ("Caption", &format!("{memory} MB of memory")),
            ("ElementName", &format!("{memory} MB of memory")),
            ("InstanceID", "2"),
            ("ResourceType", "4"),
            ("VirtualQuantity", &memory),
        ],
    );
    let (name, kind, subtype) = controller(machine.hardware.disk_bus);
    item(
        &mut items,
        &[
            ("Address", "0"),
            ("Caption", name),
            ("ElementName", name),
            ("InstanceID", "3"),
            ("ResourceSubType", subtype),
            ("ResourceType", &kind.to_string()),
        ],
    );
    item(
        &mut items,
        &[
            ("AutomaticAllocation", "true"),
            ("Caption", "Ethernet adapter on 'NAT'"),
            ("Connection", "NAT"),
            ("ElementName", "Ethernet adapter on 'NAT'"),
            ("InstanceID", "4"),
            ("ResourceSubType", "E1000"),
            ("ResourceType", "10"),
        ],
    );
    items
}

/// The machine with its disks, called `names` in the box.
pub(super) fn describe(machine: &Machine<'_>, names: &[String]) -> String {
    let (mut files, mut disks, mut items) = (String::new(), String::new(), hardware(machine));
    for (index, (disk, name)) in machine.disks.iter().zip(names).enumerate() {
        let number = index + 1;
        let _ = writeln!(files, "    <File ovf:id=\"file{number}\" ovf:href=\"{name}\"/>");
        let _ = writeln!(
            disks,
            "    <Disk ovf:capacity=\"{}\" ovf:diskId=\"vmdisk{number}\" ovf:fileRef=\"file{number}\" \
             ovf:format=\"http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized\"/>",
            disk.virtual_size
        );
        item(
            &mut items,
            &[
                ("AddressOnParent", &index.to_string()),
                ("Caption", &format!("disk{number}")),
                ("ElementName", &format!("disk{number}")),
                ("HostResource", &format!("/disk/vmdisk{number}")),
                ("InstanceID", &(index + 5).to_string()),
                ("Parent", "3"),
                ("ResourceType", "17"),
            ],
        );
    }
    let (os, os_type) = LINUX;
    format!(
        r#"<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References>
{files}  </References>
  <DiskSection>
    <Info>List of the virtual disks used in the package</Info>
{disks}  </DiskSection>
  <NetworkSection>
    <Info>Logical networks used in the package</Info>
    <Network ovf:name="NAT">
      <Description>Logical network used by this appliance.</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="box">
    <Info>A virtual machine</Info>
    <OperatingSystemSection ovf:id="{os}">
      <Info>The kind of installed guest operating system</Info>
      <Description>{os_type}</Description>
      <vbox:OSType ovf:required="false">{os_type}</vbox:OSType>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements for a virtual machine</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>box</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
{items}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
    )
}
