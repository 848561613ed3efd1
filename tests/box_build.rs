//! Builds boxes for real, with Debian's packages from the mirror: a minute each. `VBOX_RS_TEST_BUILD` names the recipes
//! (`make test` sets it); `VBOX_RS_TEST_BUILD_INTO` keeps what was built.
#![expect(clippy::unwrap_used, reason = "a panic is how a test tells")]

use std::path::{Path, PathBuf};

use vbox_rs::boxes::build::{BuildRequest, Built, build};
use vbox_rs::error::Failure;
use vbox_rs::progress::Cx;

fn build_in(dir: &Path, recipe: &str, file: &str) -> Built {
    let request = BuildRequest {
        recipe: recipe.into(),
        output: dir.join(file),
        mirror: None,
        // Blanks and quotes in the path must not matter to the programs that are run.
        work_dir: dir.join("work 'here'"),
    };
    build(&Cx::silent(), &request).unwrap_or_else(|error| panic!("{}", Failure::from(error)))
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_same_recipe_and_packages_give_the_same_files() {
    let kept = std::env::var_os("VBOX_RS_TEST_BUILD_INTO").map(PathBuf::from);
    let temporary = kept.is_none().then(|| tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    let dir = kept.or_else(|| Some(temporary.as_ref()?.path().to_owned())).unwrap();
    let recipes = std::env::var("VBOX_RS_TEST_BUILD").expect("VBOX_RS_TEST_BUILD must name recipes, or be empty");
    if recipes.is_empty() {
        println!("skipped: VBOX_RS_TEST_BUILD is empty");
    }
    for recipe in recipes.split_whitespace() {
        let flat = recipe.replace('/', "-");
        let first = build_in(&dir, recipe, &format!("{flat}.box"));
        let second = build_in(&dir, recipe, "second.box");
        assert_eq!(first.files_sha256, second.files_sha256);
        assert_eq!(first.version, second.version);
        assert!(names_in(&dir).iter().all(|name| !name.contains(".part")), "a part of a box is left");
        let ours: Vec<_> =
            names_in(&dir.join("work 'here'")).into_iter().filter(|name| name.starts_with(&flat)).collect();
        assert_eq!(ours, [format!("{flat}.lock"), format!("{flat}.log")]);
        std::fs::remove_file(&second.path).unwrap();
    }
}
