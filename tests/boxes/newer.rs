//! `box outdated` and `box update`: what a source says, and what becomes of it.

use std::sync::Mutex;

use vbox_rs::boxes::{Asked, Error, Installed, Offer, Origins, Outlook, Query, Requirement, outlooks};
use vbox_rs::progress::Cx;

use crate::images::qcow2;
use crate::world::Home;

/// Publishes versions of every box, but of `lonely`; cannot be asked about `broken`.
struct Fake {
    versions: &'static [&'static str],
    url: String,
    asked: Mutex<Vec<String>>,
}

impl Origins for Fake {
    fn newest(&self, _: &Cx, installed: &Installed, wanted: Option<&Requirement>) -> Result<Option<Offer>, Error> {
        let name = &installed.manifest.name;
        self.asked.lock().unwrap().push(name.clone());
        if name == "broken" {
            return Err(Error::Unnamed { from: "the registry".into() });
        }
        let versions = self.versions.iter().map(|text| text.parse().unwrap());
        let fits = versions.filter(|version| wanted.is_none_or(|wanted| wanted.matches(version)));
        let offer = |version| Offer { name: name.clone(), version, urls: vec![self.url.clone()], ..Offer::default() };
        Ok((name != "lonely").then(|| offer(fits.max())))
    }
}

fn word(outlook: &Outlook) -> String {
    match outlook {
        Outlook::Current => "current".into(),
        Outlook::Newer(offer) => offer.version.as_ref().unwrap().to_string(),
        Outlook::Unpublished => "unpublished".into(),
        Outlook::Failed(error) => error.to_string(),
    }
}

#[test]
fn each_box_is_asked_for_once_and_answered_in_order() {
    let home = Home::new();
    let fake = Fake { versions: &["1.0", "1.2", "2.0"], url: String::new(), asked: Mutex::default() };
    let cases: [(&str, &str, Option<&str>, &str); 6] = [
        ("old", "1.0", None, "2.0"),
        ("pinned", "1.0", Some("~> 1.0"), "1.2"),
        ("newest", "2.0", None, "current"),
        ("ahead", "3.0", None, "current"),
        ("lonely", "1.0", None, "unpublished"),
        ("broken", "1.0", None, "the box from the registry has no name"),
    ];
    let asked: Vec<Asked> = cases
        .iter()
        .map(|(name, version, requirement, _)| {
            home.add_version(name, version, &qcow2(1000));
            home.library.asked(&Query { name, version: *requirement, ..Query::default() }).unwrap().unwrap()
        })
        .collect();
    let answers = outlooks(&Cx::silent(), &fake, &asked);
    assert_eq!(answers.iter().map(word).collect::<Vec<_>>(), cases.map(|(.., expected)| expected));
    assert_eq!(fake.asked.lock().unwrap().len(), cases.len());
    assert!(home.library.asked(&Query { name: "none", ..Query::default() }).unwrap().is_none());
}

#[test]
fn an_update_adds_the_new_version_beside_the_old_one() {
    let home = Home::new();
    home.add_version("a", "1.0", &qcow2(1000));
    let file = home.write("new.qcow2", &qcow2(2000));
    let fake = Fake { versions: &["1.1"], url: file.display().to_string(), asked: Mutex::default() };
    let old = home.library.asked(&Query { name: "a", ..Query::default() }).unwrap().unwrap();
    let Some(Outlook::Newer(offer)) = outlooks(&Cx::silent(), &fake, std::slice::from_ref(&old)).pop() else {
        panic!()
    };
    let new = fake.add(&Cx::silent(), &home.library, &old.installed, &offer, false).unwrap();
    assert_eq!(new.manifest.version.to_string(), "1.1");
    assert_eq!(home.names(), ["a 1.0", "a 1.1"]);
}
