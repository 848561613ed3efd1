//! From an entry of the catalogue to offers.

use super::release::{EndOfLife, Image, Release};
use crate::boxes::hardware::Hardware;
use crate::boxes::offer::{Offer, PublishedSums};

/// Who publishes boxes of operating systems that are not theirs.
const REPACKERS: &[(&str, &str)] = &[
    ("generic", "the roboxes one"),
    ("roboxes", "the roboxes one"),
    ("bento", "the Bento one"),
    ("hashicorp", "HashiCorp's"),
    ("geerlingguy", "geerlingguy's"),
    ("puppetlabs", "Puppet's"),
    ("puphpet", "PuPHPet's"),
    ("chef", "Chef's"),
    ("peru", "peru's"),
];

/// The offers of `name` (without variant): of each architecture the pinned build, then what stands in for it where its
/// URL is gone.
pub(super) fn offers(release: &Release, asked: &str, name: &str, variant: Option<&str>, month: &str) -> Vec<Offer> {
    let notes = notes(release, asked, name, month);
    let both = |image| std::iter::once(pinned(release, image)).chain(latest(release, image));
    let named = |offer: Offer| Offer { name: asked.into(), notes: notes.clone(), ..offer };
    release.images(name, variant).flat_map(both).map(named).collect()
}

fn pinned(release: &Release, image: &Image) -> Offer {
    let urls = std::iter::once(&image.url).chain(&image.mirrors).cloned().collect();
    let sums = sums(release, image, &image.url);
    Offer { version: image.version.clone(), urls, checksum: image.checksum.clone(), sums, ..common(release, image) }
}

/// A newer build: nothing that is known of the pinned one holds for it.
fn latest(release: &Release, image: &Image) -> Option<Offer> {
    let url = image.latest.as_ref()?;
    Some(Offer { urls: vec![url.clone()], sums: sums(release, image, url), ..common(release, image) })
}

fn common(release: &Release, image: &Image) -> Offer {
    let firmware = image.firmware.or(release.firmware);
    Offer {
        architecture: Some(image.architecture.clone()),
        cloud_init: image.cloud_init.or(release.cloud_init),
        user: image.user.as_ref().or(release.user.as_ref()).cloned(),
        hardware: Hardware { firmware, ..Hardware::default() },
        ..Offer::default()
    }
}

fn sums(release: &Release, image: &Image, url: &str) -> Option<PublishedSums> {
    let (folder, file) = url.rsplit_once('/')?;
    let pattern = image.sums.as_ref().or(release.sums.as_ref())?;
    let beside = |name: String| if name.contains("://") { name } else { format!("{folder}/{name}") };
    let name = pattern.replace("{file}", file);
    let signature = image.signature.as_ref().or(release.signature.as_ref());
    Some(PublishedSums {
        signature: signature.map(|one| beside(one.replace("{sums}", &name).replace("{file}", file))),
        url: beside(name),
        file: file.into(),
        keys: image.keys.as_ref().or(release.keys.as_ref()).cloned().unwrap_or_default(),
    })
}

fn notes(release: &Release, asked: &str, name: &str, month: &str) -> Vec<String> {
    let ended = release.end_of_life.as_ref().filter(|end| end.is_over(month)).map(|end| match end {
        EndOfLife::Past => format!("{} gets no updates any more", release.title),
        EndOfLife::Month(last) => format!("{} gets no updates since {last}", release.title),
    });
    let known = release.note.as_ref().map(|note| format!("{}: {note}", release.title));
    stands_for(release, asked, name).into_iter().chain(ended).chain(known).collect()
}

/// What the user has to know when the box of that name was somebody else's.
fn stands_for(release: &Release, asked: &str, name: &str) -> Option<String> {
    let owner = |name: &str| name.split_once('/').map(|(owner, _)| owner.to_owned());
    let theirs = owner(name)?;
    let publisher = &release.publisher;
    let possessive = if publisher.ends_with('s') { format!("{publisher}'") } else { format!("{publisher}'s") };
    let repacker = REPACKERS.iter().find(|(owner, _)| *owner == theirs);
    let instead = match repacker {
        Some((_, whose)) => format!("{possessive} cloud image, not {whose}"),
        None if owner(&release.name).as_ref() != Some(&theirs) => format!("{possessive} cloud image"),
        None => return None,
    };
    Some(if name == release.name {
        format!("{asked} is {instead}")
    } else {
        format!("{asked} stands for {}: {instead}", release.name)
    })
}
