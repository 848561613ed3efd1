//! Takes the kernel proper out of Debian's `vmlinuz`.
//!
//! QEMU starts an uncompressed ELF kernel directly at its PVH entry point. That leaves out the kernel's own
//! decompressor, which takes five of sixteen seconds of a start on an emulated processor.

use super::Error;

/// Where the kernel lies in a `vmlinuz`, and which program unpacks it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload<'a> {
    pub program: &'static str,
    pub bytes: &'a [u8],
}

/// Reads the header (Documentation/arch/x86/boot.rst in Linux): number of setup sectors at 0x1f1, magic at 0x202,
/// place and length of the payload at 0x248 and 0x24c, counted from the end of the setup sectors. The length counts four
/// bytes with the unpacked size behind the compressed stream.
pub(super) fn payload(vmlinuz: &[u8]) -> Result<Payload<'_>, Error> {
    let bad = |problem: &str| Error::Unexpected { what: "the kernel", problem: problem.into() };
    let number = |at: usize| {
        let bytes: [u8; 4] = vmlinuz.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    if vmlinuz.get(0x202..0x206) != Some(b"HdrS") {
        return Err(bad("it has no Linux boot header"));
    }
    let setup = match vmlinuz[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let place = number(0x248).zip(number(0x24c)).and_then(|(offset, length)| {
        let start = offset.checked_add((setup + 1) * 512)?;
        vmlinuz.get(start..start.checked_add(length.checked_sub(4)?)?)
    });
    let bytes = place.ok_or_else(|| bad("its payload lies outside of the file"))?;
    let program = match bytes {
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0x02, 0x21, 0x4c, 0x18, ..] => "lz4",
        [0x1f, 0x8b, ..] => "gzip",
        _ => return Err(bad("its compression is unknown")),
    };
    Ok(Payload { program, bytes })
}

/// Whether an unpacked kernel is an ELF file with the note that names its PVH entry point (type 18 of owner `Xen`);
/// QEMU refuses one without.
pub(super) fn starts_directly(kernel: &[u8]) -> bool {
    const NOTE: &[u8] = b"\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0";
    const NOTE_32: &[u8] = b"\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen\0";
    kernel.starts_with(b"\x7fELF") && kernel.windows(NOTE.len()).any(|part| part == NOTE || part == NOTE_32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmlinuz(magic: &[u8], offset: u32, length: u32) -> Vec<u8> {
        let mut file = vec![0; 0x250];
        file[0x1f1] = 1;
        file[0x202..0x206].copy_from_slice(b"HdrS");
        file[0x248..0x24c].copy_from_slice(&offset.to_le_bytes());
        file[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        file.resize(1024 + 16, 0);
        file.extend(magic);
        file.extend([0; 20]);
        file
    }

    #[test]
    fn the_payload_is_found_by_the_header() {
        for (magic, program) in [
            (&b"\xfd7zXZ\0"[..], "xz"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"\x02\x21\x4c\x18", "lz4"),
            (b"\x1f\x8b", "gzip"),
        ] {
            let file = vmlinuz(magic, 16, 14);
            let found = payload(&file).unwrap();
            assert_eq!((found.program, found.bytes.len()), (program, 10));
        }
    }

    #[test]
    fn a_file_that_lies_is_refused() {
        for file in [
            vec![],
            vec![0; 600],
            vmlinuz(b"nope", 16, 14),
            vmlinuz(b"\x1f\x8b", u32::MAX, 14),
            vmlinuz(b"\x1f\x8b", 16, u32::MAX),
            vmlinuz(b"\x1f\x8b", 16, 3),
        ] {
            assert!(payload(&file).is_err());
        }
    }

    #[test]
    fn only_an_elf_with_the_note_starts_directly() {
        assert!(starts_directly(b"\x7fELF....\x04\0\0\0\x08\0\0\0\x12\0\0\0Xen\0........"));
        assert!(!starts_directly(b"\x7fELF...................................."));
        assert!(!starts_directly(b""));
    }
}
