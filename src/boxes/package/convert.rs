//! One image out of an overlay and all that it rests on.

use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::{Disk, Error, Format};
use crate::boxes::name::printable;
use crate::progress::Cx;
use crate::store;
use crate::sys;

const QEMU_IMG: &str = "qemu-img";

/// How often a running conversion is looked at.
const TICK: Duration = Duration::from_millis(50);

/// As much of the tool's complaint as is shown.
const WORDS: u64 = 2000;

/// Writes what the guest sees of `disk` to the new file `to`; what is zero takes no room.
pub(super) fn convert(cx: &Cx, disk: &Disk, format: Format, to: &Path) -> Result<(), Error> {
    cx.check()?;
    let mut command = Command::new(QEMU_IMG);
    command.args(["convert", "-f", &disk.format]).args(match format {
        Format::Libvirt => &["-W", "-m", "8", "-O", "qcow2"][..],
        // The form in which one can be written from its beginning to its end, compressed.
        Format::Virtualbox => &["-O", "vmdk", "-o", "subformat=streamOptimized"],
    });
    command.arg(&disk.path).arg(to).env("LC_ALL", "C").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    sys::die_with_parent(&mut command);
    let child = command.spawn().map_err(|source| match source.kind() {
        ErrorKind::NotFound => Error::NoTool,
        _ => store::Error::io("run", QEMU_IMG, source).into(),
    })?;
    let (status, words) = Running(child).watch(cx, to)?;
    if status.success() { Ok(()) } else { Err(failed(disk, to, &words)) }
}

fn failed(disk: &Disk, to: &Path, words: &str) -> Error {
    // glibc's words for ENOSPC and EDQUOT; qemu-img is not translated.
    if ["No space left on device", "Disk quota exceeded"].iter().any(|full| words.contains(full)) {
        let dir = to.parent().unwrap_or(to);
        return store::Error::io("write into", dir, ErrorKind::StorageFull.into()).into();
    }
    let message = printable(words.trim().trim_start_matches("qemu-img: "));
    Error::Convert { path: disk.path.clone(), message }
}

/// A child that does not outlive us, whichever way we leave.
struct Running(Child);

impl Running {
    /// Tells how much it has written until it ends; returns what it said of errors.
    fn watch(mut self, cx: &Cx, to: &Path) -> Result<(ExitStatus, String), Error> {
        let failed = |e| store::Error::io("run", QEMU_IMG, e);
        let errors = self.0.stderr.take();
        let words = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.map(|errors| errors.take(WORDS).read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        });
        let mut bar = cx.transfer("disk", None);
        let status = loop {
            if let Some(status) = self.0.try_wait().map_err(failed)? {
                break status;
            }
            bar.update(to.metadata().map_or(0, |about| about.blocks() * 512));
            cx.sleep(TICK)?;
        };
        Ok((status, words.join().unwrap_or_default()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Failures mean that it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
