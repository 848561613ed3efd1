//! A file of the catalogue, as it is written; `boxes/catalogue/README.md` explains the keys.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::boxes::build::civil;
use crate::boxes::checksum::Checksum;
use crate::boxes::hardware::Firmware;
use crate::boxes::manifest::CloudInit;
use crate::boxes::version::Version;

/// One release of an operating system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Release {
    pub name: String,
    pub title: String,
    pub publisher: String,
    #[serde(default)]
    pub aliases: Vec<String>,
    pub end_of_life: Option<EndOfLife>,
    pub note: Option<String>,
    #[serde(default)]
    pub image: Vec<Image>,
    pub sums: Option<String>,
    pub signature: Option<String>,
    pub keys: Option<Vec<String>>,
    pub user: Option<String>,
    pub cloud_init: Option<CloudInit>,
    pub firmware: Option<Firmware>,
    pub disk_gib: Option<u32>,
}

/// One image of it. What is left out is the release's.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Image {
    pub variant: Option<String>,
    pub architecture: String,
    #[serde(default)]
    pub names: Vec<String>,
    pub version: Option<Version>,
    pub url: String,
    #[serde(default)]
    pub mirrors: Vec<String>,
    pub latest: Option<String>,
    #[serde(default, deserialize_with = "checksum")]
    pub checksum: Option<Checksum>,
    pub sums: Option<String>,
    pub signature: Option<String>,
    pub keys: Option<Vec<String>>,
    pub user: Option<String>,
    pub cloud_init: Option<CloudInit>,
    pub firmware: Option<Firmware>,
    pub disk_gib: Option<u32>,
}

/// When the updates end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EndOfLife {
    /// They have, some time ago.
    Past,
    /// With this month: `2021-04`.
    Month(String),
}

impl<'de> Deserialize<'de> for EndOfLife {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "past" {
            return Ok(Self::Past);
        }
        let month =
            text.split_once('-').filter(|(year, _)| year.len() == 4 && year.bytes().all(|b| b.is_ascii_digit()));
        let month = month.filter(|(_, month)| month.len() == 2).and_then(|(_, month)| month.parse::<u8>().ok());
        if month.is_some_and(|month| (1..=12).contains(&month)) {
            Ok(Self::Month(text))
        } else {
            Err(D::Error::custom("`end_of_life` is a month such as `2021-04`, or `past`"))
        }
    }
}

fn checksum<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Checksum>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

/// The month of a day since 1970: `2026-11`.
pub(super) fn month(days: u64) -> String {
    let (year, month, _) = civil(days);
    format!("{year:04}-{month:02}")
}

impl EndOfLife {
    /// Whether it has come by `month`.
    pub fn is_over(&self, month: &str) -> bool {
        match self {
            Self::Past => true,
            Self::Month(last) => last.as_str() < month,
        }
    }
}

impl Release {
    /// Every name that it answers to, its own first.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let own = std::iter::once(&self.name).chain(&self.aliases);
        own.chain(self.image.iter().flat_map(|image| &image.names)).map(String::as_str)
    }

    /// The images that a name stands for: all, or one where the name is that one's alone.
    pub fn images<'a>(&'a self, name: &'a str, variant: Option<&'a str>) -> impl Iterator<Item = &'a Image> {
        let is_mine = self.name == name || self.aliases.iter().any(|alias| alias == name);
        self.image
            .iter()
            .filter(move |image| is_mine || image.names.iter().any(|one| one == name))
            .filter(move |image| image.variant.as_deref() == variant)
    }
}
