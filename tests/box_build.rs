//! Builds the boxes for real: half a minute each, with Debian's packages from the mirror. Runs when `VBOX_RS_TEST_BUILD`
//! is set to the names of recipes, as `make test` does.

use std::path::Path;

use vbox_rs::boxes::build::{BuildRequest, Built, build};
use vbox_rs::progress::Cx;

fn wanted() -> Vec<String> {
    let names = std::env::var("VBOX_RS_TEST_BUILD").unwrap_or_default();
    if names.is_empty() {
        eprintln!("skipped: VBOX_RS_TEST_BUILD names no recipe");
    }
    names.split_whitespace().map(str::to_owned).collect()
}

fn build_in(dir: &Path, recipe: &str, file: &str) -> Built {
    let request = BuildRequest {
        recipe: recipe.into(),
        output: dir.join(file),
        mirror: None,
        work_dir: std::env::var_os("VBOX_RS_TEST_WORK").map_or_else(|| dir.join("work"), Into::into),
    };
    build(&Cx::silent(), &request).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_same_recipe_and_packages_give_the_same_files() {
    for recipe in wanted() {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (first, second) = (build_in(dir.path(), &recipe, "1.box"), build_in(dir.path(), &recipe, "2.box"));
        assert_eq!(first.files_sha256, second.files_sha256);
        assert_eq!(first.version, second.version);
        let left: Vec<_> = std::fs::read_dir(dir.path().join("work")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert!(left.iter().all(|name| !Path::new(name).extension().is_none_or(|e| e == "tmp")), "left over: {left:?}");
    }
}
