//! `box info`.

use clap::Args;
use serde_json::{Value, json};

use super::{App, Done, Error};
use crate::boxes::catalogue::{Catalogue, Entry};
use crate::boxes::{Firmware, Library, Manifest, Offer, Query, Taken, Verified};
use crate::ui::text;

/// Tell all about one box: of the library, else what the catalogue knows of it
#[derive(Debug, Args)]
#[command(
    visible_alias = "show",
    after_help = "\
Examples:
  vbox-rs box info debian/bookworm64
  vbox-rs box info generic/ubuntu2204         what would be fetched, and how it would be verified
  vbox-rs box info debian/bookworm64 --box-version '~> 12.0' --json"
)]
pub(super) struct Info {
    /// Name of the box
    name: String,
    /// Version or constraint; the newest where left out
    #[arg(long, value_name = "VERSION")]
    box_version: Option<String>,
}

type Facts = Vec<(&'static str, String)>;

impl Info {
    pub(super) fn run(&self, app: &App) -> Done {
        let library = Library::new(&App::dirs()?);
        let query = Query { name: &self.name, version: self.box_version.as_deref(), ..Query::default() };
        let Some(found) = library.find(&query)? else { return self.offered(app) };
        let needs = app.fleet()?.needs()?;
        let users = needs.users(&found.manifest);
        for machine in &needs.unreadable {
            app.ui.warn(&format!("which box a machine uses is not known: {machine}"));
        }
        let listing = library.list()?;
        let sharing = listing.sharing(&found.manifest);
        let taken = library.usage(&listing).of(&found.manifest);
        if app.ui.json() {
            let document =
                json!({ "box": found.manifest, "used_by": users, "shares_disks_with": sharing, "taken": taken });
            app.ui.print_json(&document)?;
        } else {
            let mut facts = describe(&found.manifest, &users);
            let included = found.included()?;
            if !included.is_empty() {
                facts.push(("brings", brought(&included)));
            }
            facts.push(("on this disk", taken_text(taken)));
            if !sharing.is_empty() {
                facts.push(("shares with", sharing.join(", ")));
            }
            print(app, &facts)?;
        }
        Ok(0)
    }

    /// What the catalogue knows of a box that is not here.
    fn offered(&self, app: &App) -> Done {
        let catalogue = Catalogue::new(&App::dirs()?);
        let known = if self.box_version.is_none() { catalogue.entry(&self.name)? } else { None };
        let Some(entry) = known else {
            return Err(Error::NoBox { name: self.name.clone(), version: self.box_version.clone() }.into());
        };
        let offers = catalogue.lookup(&self.name, None)?.unwrap_or_default();
        if app.ui.json() {
            let offers: Vec<Value> = offers.iter().map(document).collect();
            app.ui.print_json(&json!({ "catalogue": entry, "offers": offers }))?;
        } else {
            print(app, &available(&self.name, &entry, &offers))?;
            app.ui.say(&format!("`{}` is not on this computer yet", self.name));
        }
        Ok(0)
    }
}

fn print(app: &App, facts: &Facts) -> Result<(), crate::error::Failure> {
    let line =
        |(name, value): &(&str, String)| format!("{name:<15} {}", app.ui.neutral(value)).trim_end().to_owned() + "\n";
    Ok(app.ui.print(&facts.iter().map(line).collect::<String>())?)
}

fn taken_text(taken: Taken) -> String {
    match taken.shared {
        0 => text::bytes(taken.real),
        shared => format!("{}, {} of it shared", text::bytes(taken.real), text::bytes(shared)),
    }
}

fn describe(manifest: &Manifest, users: &[String]) -> Facts {
    let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    let mut facts = vec![
        ("name", manifest.name.clone()),
        ("version", manifest.version.to_string()),
        ("provider", manifest.provider.clone()),
        ("architecture", manifest.architecture.clone().unwrap_or_else(|| "unknown".into())),
    ];
    for disk in &manifest.disks {
        let size = text::bytes(disk.size);
        facts.push(("disk", format!("{}, {size} of {}", disk.format, text::bytes(disk.virtual_size))));
        facts.push(("", format!("sha256:{}", disk.sha256)));
    }
    facts.push(("direct start", yes_no(manifest.boot.is_some())));
    facts.push(("reads our seed", yes_no(manifest.seed || manifest.cloud_init.is_some())));
    facts.extend(manifest.user.clone().map(|user| ("user", user)));
    facts.push(("source", manifest.source.clone()));
    facts.push(("verified", verified(manifest)));
    facts.push(("used by", if users.is_empty() { "no machine".into() } else { users.join(", ") }));
    facts
}

/// Files beside its machine: the first of them by name.
fn brought(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let first = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// What was checked when the box was added.
fn verified(manifest: &Manifest) -> String {
    let checksum = manifest.checksum.as_deref().unwrap_or("its checksum");
    match &manifest.verified {
        Verified::Signature(key) => format!("{checksum}, signed by the publisher's key {key}"),
        Verified::Checksum => format!("{checksum}, not signed"),
        Verified::Nothing => manifest.checksum.clone().unwrap_or_else(|| "nothing".into()),
    }
}

fn available(name: &str, entry: &Entry, offers: &[Offer]) -> Facts {
    let mut facts = vec![("name", name.to_owned()), ("system", entry.title.clone())];
    let others = || std::iter::once(&entry.name).chain(&entry.aliases).filter(|other| *other != name);
    facts.push(("from", entry.publisher.clone()));
    facts.push(("other names", others().cloned().collect::<Vec<_>>().join(", ")));
    facts.extend(entry.disk_gib.map(|size| ("smallest disk", format!("{size} GiB"))));
    facts.extend(offers.first().and_then(|offer| offer.user.clone()).map(|user| ("user", user)));
    for note in offers.first().iter().flat_map(|offer| &offer.notes) {
        facts.push(("note", note.clone()));
    }
    for variant in &entry.variants {
        facts.push(("variant", format!("{}@{variant}", entry.name)));
    }
    for offer in offers {
        let version =
            offer.version.as_ref().map_or_else(|| "latest build".into(), |version| format!("version {version}"));
        let firmware = offer.hardware.firmware.map(|firmware| match firmware {
            Firmware::Bios => ", starts by BIOS",
            Firmware::Uefi => ", starts by UEFI",
        });
        let architecture = offer.architecture.as_deref().unwrap_or("unknown");
        facts.push(("", String::new()));
        facts.push(("image", format!("{architecture}, {version}{}", firmware.unwrap_or_default())));
        facts.extend(offer.urls.iter().map(|url| ("", url.clone())));
        facts.push(("verified by", how_verified(offer)));
    }
    facts.retain(|(name, value)| *name != "other names" || !value.is_empty());
    facts
}

/// How the image would be checked.
fn how_verified(offer: &Offer) -> String {
    match (&offer.sums, &offer.checksum) {
        (Some(sums), _) if !sums.keys.is_empty() => format!("{}, signed by {}", sums.url, sums.keys.join(" or ")),
        (_, Some(checksum)) => checksum.to_string(),
        (Some(sums), None) => format!("{}, not signed", sums.url),
        (None, None) => "nothing: its publisher names no checksum".into(),
    }
}

fn document(offer: &Offer) -> Value {
    let sums = offer
        .sums
        .as_ref()
        .map(|sums| json!({ "url": sums.url, "file": sums.file, "signature": sums.signature, "keys": sums.keys }));
    json!({
        "architecture": offer.architecture,
        "version": offer.version,
        "urls": offer.urls,
        "checksum": offer.checksum.as_ref().map(ToString::to_string),
        "sums": sums,
        "cloud_init": offer.cloud_init,
        "user": offer.user,
        "firmware": offer.hardware.firmware,
        "notes": offer.notes,
    })
}
