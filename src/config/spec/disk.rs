//! `[[extra_disk]]`: disks beside those of the box.

use serde::{Deserialize, Serialize};

/// A disk beside those of the box, empty at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtraDisk {
    /// Its name among the machine's.
    pub name: String,
    /// Virtual size in bytes.
    pub size: u64,
}

impl ExtraDisk {
    /// As many as any controller but the oldest has room for beside the box's disks and the seed.
    pub const MOST: usize = 12;

    /// `below` with the disks of `above`; of two with one name the later one counts.
    #[must_use]
    pub fn laid_over(mut below: Vec<Self>, above: Vec<Self>) -> Vec<Self> {
        for disk in above {
            match below.iter_mut().find(|other| other.name == disk.name) {
                Some(place) => *place = disk,
                None => below.push(disk),
            }
        }
        below
    }
}
