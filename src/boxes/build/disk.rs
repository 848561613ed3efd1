//! The disk's first MiB: partition table and GRUB, written without mounting anything.
//!
//! `boot.img` goes into the first 440 bytes and loads sector 1, where `core.img` begins with a loader of its own whose
//! list of blocks, as `grub-mkimage` writes it, says "from sector 2 on". So the image runs where it lies, and
//! `grub-install`, which wants a mounted file system, is not needed.

use super::Error;

/// Bytes before the partition: where every tool of today begins the first one.
pub(super) const OFFSET: u64 = 1 << 20;
const SECTOR: usize = 512;
const GIB: u64 = 1 << 30;
/// Bytes of the first sector that belong to the boot loader.
const BOOT_CODE: usize = 440;
/// `core.img`'s first sector: the number of the sector to go on with, and how many there are (GRUB's `diskboot.S`).
const BLOCK_LIST: usize = SECTOR - 12;

/// How many file system blocks of 4 KiB the partition has.
pub(super) fn blocks(disk_gib: u32) -> u64 {
    (u64::from(disk_gib) * GIB - OFFSET) / 4096
}

/// Everything before the partition. The one partition is the last, so that it can grow.
pub(super) fn head(boot: &[u8], core: &[u8], signature: [u8; 4], disk_gib: u32) -> Result<Vec<u8>, Error> {
    let unexpected = |what, problem: &str| Error::Unexpected { what, problem: problem.into() };
    if boot.len() != SECTOR {
        return Err(unexpected("GRUB's boot.img", "it does not have 512 bytes"));
    }
    if core.len() < SECTOR || core.len() > OFFSET as usize - SECTOR {
        return Err(unexpected("GRUB's core.img", "it does not fit between the partition table and the partition"));
    }
    if core[BLOCK_LIST..BLOCK_LIST + 8] != 2u64.to_le_bytes() {
        return Err(unexpected("GRUB's core.img", "it does not go on in sector 2"));
    }
    let sectors = u32::try_from((u64::from(disk_gib) * GIB - OFFSET) / SECTOR as u64)
        .map_err(|_| unexpected("the disk's size", "a partition table of this kind ends at 2 TiB"))?;
    let mut head = boot[..BOOT_CODE].to_vec();
    head.extend(signature);
    head.extend([0, 0]);
    head.extend(partition(sectors));
    head.extend([0; 3 * 16]);
    head.extend([0x55, 0xaa]);
    head.extend(core);
    Ok(head)
}

/// An active Linux partition. Its addresses by cylinder are the largest there are: "see the sector numbers".
fn partition(sectors: u32) -> Vec<u8> {
    let mut entry = vec![0x80, 0xfe, 0xff, 0xff, 0x83, 0xfe, 0xff, 0xff];
    entry.extend(((OFFSET / SECTOR as u64) as u32).to_le_bytes());
    entry.extend(sectors.to_le_bytes());
    entry
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
        let head = head(&[1; 512], &core(700), *b"vbox", 10).unwrap();
        assert_eq!(&head[..440], &[1; 440]);
        assert_eq!(&head[440..446], b"vbox\0\0");
        assert_eq!(head[446], 0x80);
        assert_eq!(head[450], 0x83);
        assert_eq!(head[454..458], 2048u32.to_le_bytes());
        assert_eq!(head[458..462], (10 * 1024 * 2048 - 2048u32).to_le_bytes());
        assert_eq!(&head[510..512], &[0x55, 0xaa]);
        assert_eq!(head[512..], core(700));
        assert_eq!(blocks(1), 262_144 - 256);
    }

    #[test]
    fn a_boot_loader_that_does_not_fit_is_refused() {
        for (boot, core, disk, want) in [
            (vec![0; 511], core(700), 10, "GRUB's boot.img is not as expected: it does not have 512 bytes"),
            (vec![0; 512], core(1 << 20), 10, "it does not fit between"),
            (vec![0; 512], vec![0; 700], 10, "it does not go on in sector 2"),
            (vec![0; 512], core(700), 4096, "ends at 2 TiB"),
        ] {
            let message = head(&boot, &core, [0; 4], disk).unwrap_err().to_string();
            assert!(message.contains(want), "{message}");
        }
    }
}
