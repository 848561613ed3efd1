//! Whether a qcow2 image is whole: its tables, and all clusters that they name, lie inside of its file.
//!
//! QEMU opens an image that was cut off without a word, and the guest finds zeros where its files were.

use super::source::{Source, be64};
use super::{Error, Format};
use crate::boxes::qcow2::{self, Header};

/// QEMU takes no larger tables.
const L1_LIMIT: u64 = 32 << 20;
const REFCOUNTS_LIMIT: u64 = 8 << 20;

/// Where an entry leads to; the other bits are flags, and zero leads nowhere.
const PLACE: u64 = 0x00ff_ffff_ffff_fe00;

const COMPRESSED: u64 = 1 << 62;

/// Reads as zeros, whatever lies there.
const ZEROS: u64 = 1;

/// The unit in which compressed clusters are measured.
const SECTOR: u64 = 512;

/// Compares what the tables say with the file's size. Each table is read once: a stranger's file costs what it has.
pub(super) fn check(header: &Header, source: &dyn Source) -> Result<(), Error> {
    let image = Image { header, source };
    if header.snapshots > 0 {
        image.contains("its list of snapshots", header.snapshots_at, 1)?;
    }
    let length = u64::from(header.refcount_clusters) << header.cluster_bits;
    bounded("size of the table of reference counts", length, REFCOUNTS_LIMIT)?;
    for block in image.entries("its table of reference counts", header.refcounts_at, length)? {
        image.contains(
            "a block of reference counts",
            block & !(SECTOR - 1),
            u64::from(block != 0) * image.cluster(),
        )?;
    }
    let length = u64::from(header.l1_entries) * 8;
    bounded("size of the first table of clusters", length, L1_LIMIT)?;
    let first = image.entries("its first table of clusters", header.l1_at, length)?;
    let mut tables: Vec<u64> = first.iter().map(|entry| entry & PLACE).filter(|place| *place != 0).collect();
    tables.sort_unstable();
    tables.dedup();
    tables.into_iter().try_for_each(|table| image.second(table))
}

fn bounded(what: &'static str, length: u64, limit: u64) -> Result<(), Error> {
    if length > limit { Err(qcow2::Error::Nonsense(what).into()) } else { Ok(()) }
}

struct Image<'a> {
    header: &'a Header,
    source: &'a dyn Source,
}

impl Image<'_> {
    fn cluster(&self) -> u64 {
        1 << self.header.cluster_bits
    }

    fn contains(&self, what: &'static str, at: u64, length: u64) -> Result<(), Error> {
        let (end, size) = (at.saturating_add(length), self.source.size());
        if length > 0 && end > size { Err(Error::Cut { format: Format::Qcow2, what, end, size }) } else { Ok(()) }
    }

    fn entries(&self, what: &'static str, at: u64, length: u64) -> Result<Vec<u64>, Error> {
        self.contains(what, at, length)?;
        let length = usize::try_from(length).map_err(|_| qcow2::Error::Nonsense(what))?;
        let bytes = self.source.bytes(at, length)?.ok_or(Error::Short(Format::Qcow2))?;
        Ok((0..length / 8).filter_map(|index| be64(&bytes, index * 8)).collect())
    }

    /// A table that names clusters of the guest's disk.
    fn second(&self, table: u64) -> Result<(), Error> {
        const WHAT: &str = "a table of clusters";
        if !table.is_multiple_of(self.cluster()) {
            return Err(qcow2::Error::Nonsense("place of a table").into());
        }
        // With subclusters each entry has a bitmap behind it.
        let step = if self.header.extended_l2 { 2 } else { 1 };
        let entries = self.entries(WHAT, table, self.cluster())?;
        entries.iter().step_by(step).try_for_each(|entry| self.content(*entry))
    }

    /// A cluster of the guest's disk. QEMU leaves the end of the last one in a file out where it is zeros.
    fn content(&self, entry: u64) -> Result<(), Error> {
        const WHAT: &str = "a part of its content";
        if entry & COMPRESSED == 0 {
            let place = entry & PLACE;
            let has_data = place != 0 && entry & ZEROS == 0;
            return self.contains(WHAT, place, u64::from(has_data));
        }
        let shift = 62 - (self.header.cluster_bits - 8);
        let sectors = (entry & (COMPRESSED - 1)) >> shift;
        let place = entry & ((1 << shift) - 1) & !(SECTOR - 1);
        self.contains(WHAT, place, sectors * SECTOR + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::inspect;

    /// An image of 8 MiB, an eighth of it used, made by `qemu-img convert` with these arguments.
    fn made(args: &[&str]) -> Option<Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let (raw, path) = (dir.path().join("raw"), dir.path().join("image"));
        let mut content = vec![0; 8 << 20];
        for (index, byte) in content[3 << 20..4 << 20].iter_mut().enumerate() {
            *byte = ((index * index) >> 7).to_le_bytes()[0];
        }
        std::fs::write(&raw, content).unwrap();
        let mut command = Command::new("qemu-img");
        command.args(["convert", "-f", "raw", "-O", "qcow2"]).args(args).args([&raw, &path]);
        if command.output().is_ok_and(|output| output.status.success()) {
            return Some(std::fs::read(&path).unwrap());
        }
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"skipped: it takes qemu-img\n");
        None
    }

    #[test]
    fn an_image_that_was_cut_off_anywhere_is_told_from_a_whole_one() {
        for (args, slack) in [
            (&[][..], 64 << 10),
            (&["-o", "compat=0.10"], 64 << 10),
            (&["-o", "cluster_size=512"], 512),
            (&["-o", "cluster_size=2M"], 2 << 20),
            (&["-o", "extended_l2=on,cluster_size=64k"], 64 << 10),
            (&["-o", "preallocation=metadata"], 64 << 10),
            (&["-c"], 512),
            (&["-c", "-o", "compression_type=zstd"], 512),
        ] {
            let Some(bytes) = made(args) else { return };
            inspect(&bytes.as_slice()).unwrap_or_else(|error| panic!("{args:?}: {error}"));
            let ends = (1..60).map(|part| bytes.len() * part / 60).chain([bytes.len() - slack - 1]);
            for end in ends.filter(|end| *end + slack < bytes.len()) {
                let error = inspect(&&bytes[..end]).expect_err(&format!("{args:?}, {end} of {}", bytes.len()));
                assert!(error.is_cut(), "{args:?}, {end} of {}: {error}", bytes.len());
            }
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let Some(bytes) = made(&[]) else { return };
        let told = |length: usize| inspect(&&bytes[..length]).unwrap_err().to_string();
        assert!(
            told(100_000).contains("is cut off: its table of reference counts ends at byte 131072"),
            "{}",
            told(100_000)
        );
        let text = told(bytes.len() - (200 << 10));
        assert!(text.contains("is cut off: a part of its content ends at byte"), "{text}");
        assert!(text.ends_with(&format!("its file has {} bytes", bytes.len() - (200 << 10))), "{text}");
    }
}
