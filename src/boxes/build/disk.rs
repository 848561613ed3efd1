//! The disk's first MiBs: partition table, GRUB, and what UEFI starts, written without mounting anything.
//!
//! `boot.img` goes into the first 440 bytes and loads sector 1, where `core.img` begins with a loader of its own whose
//! list of blocks, as `grub-mkimage` writes it, says "from sector 2 on". So the image runs where it lies, and
//! `grub-install`, which wants a mounted file system, is not needed.

use std::io::{Cursor, Seek, Write};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

use super::Error;

const SECTOR: usize = 512;
/// The first partition's first sector, at one MiB: where every tool of today begins it.
const FIRST: u16 = 2048;
/// The root partition's first sector where one for UEFI lies before it.
const BEHIND_EFI: u16 = 8 * 2048;
/// Bytes before the first partition.
pub(super) const EFI_OFFSET: u64 = FIRST as u64 * SECTOR as u64;
/// Bytes of the partition for UEFI.
pub(super) const EFI_SIZE: usize = (BEHIND_EFI - FIRST) as usize * SECTOR;
const GIB: u64 = 1 << 30;
/// Bytes of the first sector that belong to the boot loader.
const BOOT_CODE: usize = 440;
/// `core.img`'s first sector: the number of the sector to go on with, and how many there are (GRUB's `diskboot.S`).
const BLOCK_LIST: usize = SECTOR - 12;

/// Where the root partition lies: the last one on the disk, so that it can grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Size of the disk.
    pub disk_gib: u32,
    /// Whether a partition for UEFI lies before it.
    pub efi: bool,
}

impl Layout {
    fn first(self) -> u16 {
        if self.efi { BEHIND_EFI } else { FIRST }
    }

    /// Bytes before the root partition.
    pub(super) fn offset(self) -> u64 {
        u64::from(self.first()) * SECTOR as u64
    }

    /// How many file system blocks of 4 KiB the root partition has.
    pub(super) fn blocks(self) -> u64 {
        (u64::from(self.disk_gib) * GIB - self.offset()) / 4096
    }
}

/// Everything before the first partition.
pub(super) fn head(boot: &[u8], core: &[u8], signature: [u8; 4], layout: Layout) -> Result<Vec<u8>, Error> {
    let unexpected = |what, problem: &str| Error::Unexpected { what, problem: problem.into() };
    if boot.len() != SECTOR {
        return Err(unexpected("GRUB's boot.img", "it does not have 512 bytes"));
    }
    if core.len() < SECTOR || core.len() > SECTOR * usize::from(FIRST - 1) {
        return Err(unexpected("GRUB's core.img", "it does not fit between the partition table and the partition"));
    }
    if core[BLOCK_LIST..BLOCK_LIST + 8] != 2u64.to_le_bytes() {
        return Err(unexpected("GRUB's core.img", "it does not go on in sector 2"));
    }
    let sectors = u32::try_from((u64::from(layout.disk_gib) * GIB - layout.offset()) / SECTOR as u64)
        .map_err(|_| unexpected("the disk's size", "a partition table of this kind ends at 2 TiB"))?;
    let mut head = boot[..BOOT_CODE].to_vec();
    head.extend(signature);
    head.extend([0, 0]);
    head.extend(partition(0x80, LINUX, layout.first(), sectors));
    let efi = layout.efi.then(|| partition(0, EFI, FIRST, u32::from(BEHIND_EFI - FIRST)));
    head.extend(efi.unwrap_or_else(|| vec![0; 16]));
    head.extend([0; 2 * 16]);
    head.extend([0x55, 0xaa]);
    head.extend(core);
    Ok(head)
}

/// Types of partitions.
const LINUX: u8 = 0x83;
const EFI: u8 = 0xef;

/// An entry of the table. Its addresses by cylinder are the largest there are: "see the sector numbers".
fn partition(active: u8, kind: u8, first: u16, sectors: u32) -> Vec<u8> {
    let mut entry = vec![active, 0xfe, 0xff, 0xff, kind, 0xfe, 0xff, 0xff];
    entry.extend(u32::from(first).to_le_bytes());
    entry.extend(sectors.to_le_bytes());
    entry
}

/// The file system of the partition for UEFI, with the one program that firmware looks for on a disk it does not know.
pub(super) fn efi_partition(program: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut bytes = Cursor::new(vec![0; EFI_SIZE]);
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat16)
        .bytes_per_cluster(1024)
        .volume_id(u32::from_be_bytes(*b"vbef"))
        .volume_label(*b"EFI        ");
    fatfs::format_volume(&mut bytes, options)?;
    bytes.rewind()?;
    {
        let system = FileSystem::new(&mut bytes, FsOptions::new().update_accessed_date(false))?;
        let boot = system.root_dir().create_dir("EFI")?.create_dir("BOOT")?;
        boot.create_file("BOOTX64.EFI")?.write_all(program)?;
    }
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(len: usize) -> Vec<u8> {
        let mut core = vec![7; len];
        core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&2u64.to_le_bytes());
        core
    }

    #[test]
    fn the_partition_begins_at_a_mebibyte_and_ends_with_the_disk() {
        let layout = Layout { disk_gib: 10, efi: false };
        let head = head(&[1; 512], &core(700), *b"vbox", layout).unwrap();
        assert_eq!(&head[..440], &[1; 440]);
        assert_eq!(&head[440..446], b"vbox\0\0");
        assert_eq!(head[446], 0x80);
        assert_eq!(head[450], 0x83);
        assert_eq!(head[454..458], 2048u32.to_le_bytes());
        assert_eq!(head[458..462], (10 * 1024 * 2048 - 2048u32).to_le_bytes());
        assert_eq!(&head[510..512], &[0x55, 0xaa]);
        assert_eq!(head[512..], core(700));
        assert_eq!(Layout { disk_gib: 1, efi: false }.blocks(), 262_144 - 256);
        assert_eq!(head[462..510], [0; 48]);
    }

    #[test]
    fn a_partition_for_uefi_lies_before_the_root_partition() {
        let layout = Layout { disk_gib: 1, efi: true };
        let head = head(&[1; 512], &core(700), *b"vbox", layout).unwrap();
        assert_eq!((layout.offset(), layout.blocks()), (8 << 20, 262_144 - 2048));
        assert_eq!(head[454..458], 16384u32.to_le_bytes());
        assert_eq!((head[462], head[466]), (0, 0xef));
        assert_eq!(head[470..474], 2048u32.to_le_bytes());
        assert_eq!(head[474..478], (16384u32 - 2048).to_le_bytes());
        let image = efi_partition(b"MZ program").unwrap();
        assert_eq!(EFI_OFFSET + image.len() as u64, layout.offset());
        let system = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
        let mut text = String::new();
        let mut file = system.root_dir().open_file("EFI/BOOT/BOOTX64.EFI").unwrap();
        std::io::Read::read_to_string(&mut file, &mut text).unwrap();
        assert_eq!(text, "MZ program");
    }

    #[test]
    fn a_boot_loader_that_does_not_fit_is_refused() {
        for (boot, core, disk, want) in [
            (vec![0; 511], core(700), 10, "GRUB's boot.img is not as expected: it does not have 512 bytes"),
            (vec![0; 512], core(1 << 20), 10, "it does not fit between"),
            (vec![0; 512], vec![0; 700], 10, "it does not go on in sector 2"),
            (vec![0; 512], core(700), 4096, "ends at 2 TiB"),
        ] {
            let layout = Layout { disk_gib: disk, efi: false };
            let message = head(&boot, &core, [0; 4], layout).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        }
    }
}
