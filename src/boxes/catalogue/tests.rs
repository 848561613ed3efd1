use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use super::*;
use crate::boxes::keys::PUBLISHERS;
use crate::boxes::sums::Sums;

struct World {
    dir: tempfile::TempDir,
    catalogue: Catalogue,
}

fn world() -> World {
    let dir = tempfile::tempdir().unwrap();
    let catalogue = Catalogue { month: "2026-11".into(), ..Catalogue::new(&Dirs::below(dir.path())) };
    World { dir, catalogue }
}

impl World {
    fn add(&self, name: &str, text: &str) {
        let folder = self.dir.path().join("config/catalogue");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(name), text).unwrap();
    }

    fn offers(&self, name: &str, architecture: &str) -> Vec<Offer> {
        self.catalogue.lookup(name, Some(architecture)).unwrap().unwrap_or_default()
    }
}

fn releases() -> Vec<(&'static str, Release)> {
    let parse = |(stem, text): &'static (&'static str, &'static str)| {
        let file = File { path: None, stem: (*stem).into(), text: Cow::Borrowed(text) };
        (*stem, file.parse().unwrap_or_else(|e| panic!("{e}")))
    };
    FILES.iter().map(parse).collect()
}

#[test]
fn the_list_is_the_folder() {
    let folder = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/boxes/catalogue")).unwrap();
    let there: BTreeSet<String> = folder
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().into())
        .collect();
    let listed: BTreeSet<String> = FILES.iter().map(|(stem, _)| (*stem).into()).collect();
    assert_eq!(there, listed);
    assert_eq!(listed.len(), FILES.len());
}

#[test]
fn no_name_stands_twice() {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (stem, release) in releases() {
        let names: Vec<String> = release.names().map(Into::into).collect();
        for name in names {
            assert_eq!(seen.insert(name.clone(), stem), None, "{name} in {stem}");
            assert!(crate::boxes::name::encode(&name).is_ok() && !name.contains(['@', ' ', '"']), "{name}");
        }
    }
}

#[test]
fn every_image_can_be_fetched_safely() {
    // The FreeBSD project's archive of old releases has no https.
    let plain_http = "http://ftp-archive.freebsd.org/";
    for (stem, release) in releases() {
        assert!(!release.image.is_empty(), "{stem}");
        for offer in release.image.iter().flat_map(|image| {
            offers::offers(&release, &release.name, &release.name, image.variant.as_deref(), "2026-11")
        }) {
            let sums = offer.sums.as_ref();
            let signature = sums.and_then(|sums| sums.signature.as_ref());
            for url in offer.urls.iter().chain(sums.map(|sums| &sums.url)).chain(signature) {
                let parsed = reqwest::Url::parse(url).unwrap();
                assert!(parsed.scheme() == "https" || url.starts_with(plain_http), "{stem}: {url}");
                assert!(!url.contains(['{', '}']), "{stem}: {url}");
            }
            for key in sums.iter().flat_map(|sums| &sums.keys) {
                assert!(PUBLISHERS.iter().any(|(known, _)| known == key), "{stem}: {key}");
            }
            assert!(signature.is_none() || sums.is_some_and(|sums| !sums.keys.is_empty()), "{stem}");
            let architectures = ["amd64", "arm64", "i386"];
            assert!(architectures.contains(&offer.architecture.as_deref().unwrap()), "{stem}");
            assert!(!offer.urls.is_empty());
        }
    }
}

#[test]
fn every_key_is_used() {
    let used: BTreeSet<String> = releases()
        .into_iter()
        .flat_map(|(_, release)| {
            let images = release.image.iter().filter_map(|image| image.keys.clone()).flatten().collect::<Vec<_>>();
            release.keys.unwrap_or_default().into_iter().chain(images)
        })
        .collect();
    for (key, _) in PUBLISHERS {
        assert!(used.contains(*key), "{key}");
    }
}

#[test]
fn every_known_source_is_in_the_catalogue() {
    let world = world();
    for line in include_str!("../../../tests/data/catalogue-names.txt").lines() {
        let (name, architecture) = line.split_once(' ').unwrap();
        let offers = world.offers(name, architecture);
        assert!(!offers.is_empty(), "{line}");
        assert!(offers.iter().all(|offer| offer.name == name), "{line}");
    }
}

#[test]
fn an_alias_says_whose_image_it_is_and_that_it_gets_no_updates() {
    let world = world();
    let notes = |name: &str| world.offers(name, "amd64").remove(0).notes;
    let ended = "Ubuntu 16.04 LTS (Xenial Xerus) gets no updates since 2021-04";
    assert_eq!(
        notes("generic/ubuntu1604"),
        ["generic/ubuntu1604 stands for ubuntu/xenial64: Canonical's cloud image, not the roboxes one", ended]
    );
    assert_eq!(notes("ubuntu/xenial64"), [ended]);
    assert_eq!(notes("xenial64"), [ended]);
    assert_eq!(notes("debian/bookworm64"), [""; 0]);
    assert_eq!(notes("bento/amazonlinux-2023"), ["bento/amazonlinux-2023 is Amazon's cloud image, not the Bento one"]);
    assert_eq!(notes("fedora/42-cloud-base"), ["Fedora 42 gets no updates any more"]);
}

#[test]
fn an_offer_tells_all_that_a_machine_needs() {
    let world = world();
    let offers = world.offers("bento/ubuntu-20.04", "amd64");
    let [pinned, latest] = offers.as_slice() else { panic!("{offers:?}") };
    assert_eq!(pinned.version.as_ref().unwrap().to_string(), "20250624.0.0");
    assert_eq!(pinned.user.as_deref(), Some("ubuntu"));
    assert!(pinned.checksum.is_some() && latest.checksum.is_none() && latest.version.is_none());
    let sums = latest.sums.as_ref().unwrap();
    let folder = "https://cloud-images.ubuntu.com/releases/focal/release/";
    assert_eq!(sums.url, format!("{folder}SHA256SUMS"));
    assert_eq!(sums.signature.as_deref(), Some(format!("{folder}SHA256SUMS.gpg").as_str()));
    assert_eq!(sums.file, "ubuntu-20.04-server-cloudimg-amd64.img");
    assert_eq!(sums.keys.len(), 1);
    let sums = world.offers("rockylinux/9", "arm64").remove(0).sums.unwrap();
    assert_eq!(sums.url, format!("https://dl.rockylinux.org/pub/rocky/9.8/images/aarch64/{}.CHECKSUM", sums.file));
}

#[test]
fn variants_and_single_images_are_asked_for_by_name() {
    let world = world();
    let url = |name: &str, architecture: &str| world.offers(name, architecture).first().map(|o| o.urls[0].clone());
    assert!(url("debian/trixie64", "amd64").unwrap().contains("-generic-"));
    assert!(url("debian/trixie64@genericcloud", "amd64").unwrap().contains("-genericcloud-"));
    assert_eq!(world.catalogue.lookup("debian/trixie64@cheap", None).unwrap(), None);
    assert!(url("ubuntu/precise32", "i386").unwrap().contains("i386"));
    assert_eq!(url("ubuntu/precise32", "amd64"), None);
    let all = world.catalogue.lookup("bento/opensuse-leap-15.2", None).unwrap().unwrap();
    assert_eq!(all.len(), 2);
}

#[test]
fn a_name_that_is_not_there_is_not_found() {
    let world = world();
    for name in [
        "",
        "ubuntu",
        "ubuntu/",
        "me/own",
        "\"",
        "ubuntu/xenial64\"",
        "Canonical",
        "2021-04",
        "a\nb",
        "@",
        "SHA256SUMS",
    ] {
        assert_eq!(world.catalogue.lookup(name, None).unwrap(), None, "{name:?}");
    }
}

#[test]
fn the_search_holds_every_word() {
    let world = world();
    let names = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        world.catalogue.search(&words).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&["ubuntu", "16.04"]), ["ubuntu/xenial64"]);
    assert_eq!(names(&["XENIAL"]), ["ubuntu/xenial64"]);
    assert_eq!(names(&["generic/debian", "arm64"]).len(), 4);
    assert_eq!(names(&["alpine"])[..2], ["alpine/3.19", "alpine/3.20"]);
    assert_eq!(names(&["no such thing"]), [""; 0]);
    assert_eq!(names(&[]).len(), FILES.len());
}

const OWN: &str = r#"
name = "me/thing"
title = "Thing 1"
publisher = "me"
aliases = ["generic/ubuntu1604"]

[[image]]
architecture = "amd64"
url = "https://example.org/thing.qcow2"
"#;

#[test]
fn a_users_file_comes_first_and_may_replace_one_of_ours() {
    let world = world();
    world.add("thing.toml", OWN);
    assert_eq!(world.offers("me/thing", "amd64")[0].urls, ["https://example.org/thing.qcow2"]);
    let notes = &world.offers("generic/ubuntu1604", "amd64")[0].notes;
    assert_eq!(notes[0], "generic/ubuntu1604 stands for me/thing: me's cloud image, not the roboxes one");
    assert!(!world.offers("ubuntu/xenial64", "amd64").is_empty());
    world.add("ubuntu-16.04.toml", &OWN.replace("generic/ubuntu1604", "ubuntu/other"));
    assert!(world.offers("ubuntu/xenial64", "amd64").is_empty());
}

#[test]
fn a_broken_file_is_named_with_its_line_when_it_is_needed() {
    let world = world();
    for (text, why) in [
        (OWN.replace("url", "uri"), "line 9: unknown field `uri`"),
        (OWN.replace("title", "tilte"), "line 3: unknown field `tilte`"),
        (OWN.replace("\"Thing 1\"", "1"), "line 3: invalid type: integer `1`, expected a string"),
        (format!("checksum = \"md4:12\"\n{OWN}"), "line 1: unknown field `checksum`"),
        (format!("{OWN}checksum = \"sha256:12\""), "line 10: `sha256:12` is not a checksum"),
        (format!("end_of_life = \"2021\"{OWN}"), "line 1: `end_of_life` is a month such as `2021-04`, or `past`"),
        (format!("end_of_life = \"2021-13\"{OWN}"), "line 1: `end_of_life` is a month"),
        (format!("{OWN}firmware = \"coreboot\""), "line 10: unknown variant `coreboot`"),
        (format!("{OWN}[["), "line 10: "),
    ] {
        world.add("thing.toml", &text);
        let error = world.catalogue.lookup("me/thing", None).unwrap_err().to_string();
        assert!(error.contains("thing.toml is broken: ") && error.contains(why), "{error}");
        assert!(!world.offers("ubuntu/jammy64", "amd64").is_empty(), "others work");
    }
    world.add("thing.toml", &" ".repeat(300 << 10));
    assert!(world.catalogue.lookup("me/thing", None).unwrap_err().to_string().contains("larger than"));
}

#[test]
fn updates_end_with_their_month() {
    let end = EndOfLife::Month("2026-11".into());
    assert_eq!(["2026-10", "2026-11", "2026-12"].map(|month| end.is_over(month)), [false, false, true]);
    assert!(EndOfLife::Past.is_over("1970-01"));
    assert_eq!(month(20_779), "2026-11");
}

#[test]
fn the_pinned_checksums_can_be_found_in_a_file_of_them() {
    for (stem, release) in releases() {
        for image in &release.image {
            let (Some(checksum), Some((_, file))) = (&image.checksum, image.url.rsplit_once('/')) else { continue };
            let text = format!("{}  {file}\n", checksum.to_string().split_once(':').unwrap().1);
            assert_eq!(Sums::parse(&text).unwrap().find(file).unwrap().as_ref(), Some(checksum), "{stem}");
        }
    }
}
