//! Any text as a machine file: no panic, and what is accepted reads back from its resolved form.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use vbox_rs::config;

fuzz_target!(|text: &str| {
    let (file, root) = (Path::new("/p/Vagrantfile"), Path::new("/p"));
    if let Ok((project, _)) = config::parse(text, file, root) {
        let resolved = config::to_toml(&project);
        match config::parse(&resolved, file, root) {
            Ok((again, _)) => assert_eq!(again, project, "{resolved}"),
            Err(error) => panic!("{error}"),
        }
    }
});
