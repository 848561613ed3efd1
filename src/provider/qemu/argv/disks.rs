//! Disks and the seed, and what they are plugged into.
//!
//! Extra disks come last, behind the network card: guests name cards by their slots, and a disk more must move none.

use std::ops::Range;

use super::{Args, Input};
use crate::config::spec::DiskBus;

/// SATA ports of one controller.
const PORTS: usize = 6;

/// The box's disks, and the seed.
pub fn of_box(args: &mut Args, input: &Input<'_>) {
    let plan = input.plan;
    let bus = plan.devices.disk_bus;
    controllers(args, bus, 0..plan.place(plan.box_disks()));
    for index in 0..plan.box_disks() {
        disk(args, input, index);
    }
    let Some(seed) = &plan.seed else { return };
    // The other buses know no disk that cannot be written.
    let writable = plan.seed_writable || !matches!(bus, DiskBus::Virtio | DiskBus::Scsi);
    args.option(
        "-blockdev",
        &[
            ("driver", "raw".as_ref()),
            ("node-name", "seed".as_ref()),
            ("read-only", if writable { "off" } else { "on" }.as_ref()),
            ("file.driver", "file".as_ref()),
            ("file.filename", seed.as_os_str()),
        ],
    );
    args.put("-device", &format!("{},id=seedblk", device(bus, plan.box_disks(), "seed", None)));
}

/// The disks beside the box's.
pub fn extra(args: &mut Args, input: &Input<'_>) {
    let plan = input.plan;
    let places = plan.place(plan.box_disks())..plan.place(plan.disks.len());
    controllers(args, plan.devices.disk_bus, places);
    for index in plan.box_disks()..plan.disks.len() {
        disk(args, input, index);
    }
}

fn disk(args: &mut Args, input: &Input<'_>, index: usize) {
    let node = format!("disk{index}");
    let path = input.files.disk(index);
    args.option(
        "-blockdev",
        &[
            ("driver", "qcow2".as_ref()),
            ("node-name", node.as_ref()),
            ("discard", "unmap".as_ref()),
            ("file.driver", "file".as_ref()),
            ("file.discard", "unmap".as_ref()),
            ("file.filename", path.as_os_str()),
        ],
    );
    let device = device(input.plan.devices.disk_bus, input.plan.place(index), &node, input.plan.disks[index].serial());
    // Index 0 belongs to the loader of a kernel that QEMU starts directly.
    args.put("-device", &format!("{device},id=blk{index},bootindex={}", index + 1));
}

/// What the disks at these places of a bus are plugged into, where it is not there by itself.
fn controllers(args: &mut Args, bus: DiskBus, places: Range<usize>) {
    match bus {
        DiskBus::Scsi if places.start == 0 => args.put("-device", "virtio-scsi-pci,id=scsi0"),
        DiskBus::Sata => {
            for index in places.start.div_ceil(PORTS)..places.end.div_ceil(PORTS) {
                args.put("-device", &format!("ich9-ahci,id=sata{index}"));
            }
        }
        DiskBus::Scsi | DiskBus::Virtio | DiskBus::Ide | DiskBus::Nvme => {}
    }
}

/// The disk at a place of a bus.
fn device(bus: DiskBus, place: usize, node: &str, serial: Option<&str>) -> String {
    let device = match bus {
        DiskBus::Virtio => format!("virtio-blk-pci,drive={node}"),
        DiskBus::Scsi => format!("scsi-hd,bus=scsi0.0,lun={place},drive={node}"),
        DiskBus::Sata => format!("ide-hd,bus=sata{}.{},drive={node}", place / PORTS, place % PORTS),
        DiskBus::Ide => format!("ide-hd,bus=ide.{},unit={},drive={node}", place / 2, place % 2),
        DiskBus::Nvme => format!("nvme,drive={node}"),
    };
    // NVMe disks must have one.
    let serial = serial.or((bus == DiskBus::Nvme).then_some(node));
    serial.map_or(device.clone(), |serial| format!("{device},serial={serial}"))
}
