//! Any bytes as a catalogue document: no panic, and what is chosen of it never is a file of this computer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vbox_rs::boxes::registry::{Architecture, Base, Choice, Document};

fuzz_target!(|bytes: &[u8]| {
    let Ok(url) = "https://boxes.example/me/deb".parse() else { return };
    let Ok(document) = Document::parse(bytes, Base::Url(url)) else { return };
    for architecture in [Architecture::Auto, Architecture::Default, Architecture::Exactly("arm64".into())] {
        let providers = &["libvirt", "virtualbox"];
        if let Ok(offer) = document.choose(&Choice { requirement: None, architecture: &architecture, providers }) {
            let remote = |url: &String| ["http://", "https://", "oci://"].iter().any(|scheme| url.starts_with(scheme));
            assert!(offer.urls.iter().all(remote), "{:?}", offer.urls);
        }
    }
});
