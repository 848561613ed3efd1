//! One image out of an overlay and all that it rests on.

use std::io::ErrorKind;
use std::path::Path;

use super::{Disk, Error, Format};
use crate::boxes::images;
use crate::boxes::qemu_img::{Conversion, Failed, PROGRAM, Source};
use crate::progress::Cx;
use crate::store;

/// Writes what the guest sees of `disk` to the new file `to`; what is zero takes no room.
pub(super) fn convert(cx: &Cx, disk: &Disk, format: Format, to: &Path) -> Result<(), Error> {
    let stream = format == Format::Virtualbox;
    let conversion = Conversion {
        from: Source::Chain(&disk.format, &disk.path),
        to: if stream { images::Format::Vmdk } else { images::Format::Qcow2 },
        stream,
        new: to,
        label: "disk",
        size: disk.virtual_size,
    };
    conversion.run(cx).map_err(|failed| match failed {
        Failed::Missing => Error::NoTool,
        Failed::Run(error) => store::Error::io("run", PROGRAM, error).into(),
        Failed::Full => store::Error::io("write into", to.parent().unwrap_or(to), ErrorKind::StorageFull.into()).into(),
        Failed::Said(message) => Error::Convert { path: disk.path.clone(), message },
        Failed::Interrupted(interrupted) => interrupted.into(),
    })
}
