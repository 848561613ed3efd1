//! The library of boxes and the catalogue, without a network.

use crate::assert_snapshot;
use crate::home::TestHome;

#[test]
fn an_empty_library_says_how_to_fill_it() {
    let home = TestHome::new();
    let said = "there are no boxes; `vbox-rs box add` or `vbox-rs up` fetches one\n";
    assert_eq!(home.run(["box", "list"]), (0, String::new(), said.into()));
    assert_eq!(home.run(["box", "list", "--json"]).0, 0);
    let expected = "error: no box named `x/y`\n  hint: `vbox-rs box list` lists the boxes on this computer, \
                    `vbox-rs box search WORD` what can be had\n";
    assert_eq!(home.run(["box", "info", "x/y"]), (4, String::new(), expected.into()));
    assert_eq!(home.run(["box", "remove", "x/y"]), (4, String::new(), expected.into()));
}

#[test]
fn the_catalogue_is_searched_without_a_network() {
    let home = TestHome::new();
    let (code, out, err) = home.run(["box", "search", "ubuntu", "16.04"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_snapshot("box-search.txt", &out);
    let (code, out, err) = home.run(["box", "search", "debian/bookworm64"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("`box build`") && out.contains("until 2028-06"), "{out}");
    let (code, out, _) = home.run(["box", "search", "alma", "arm64", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &found["catalogue"][0]["name"]), (0, &"almalinux/8".into()));
    assert_eq!(found["library"], serde_json::json!([]));
    let nothing = "nothing holds zx and spectrum; a URL or a file can be added too\n";
    assert_eq!(home.run(["box", "search", "zx", "spectrum"]), (0, String::new(), nothing.into()));
    assert!(!home.home().exists(), "nothing was made");
}

#[test]
fn a_box_that_is_not_here_is_told_of_from_the_catalogue() {
    let home = TestHome::new();
    let (code, out, err) = home.run(["box", "info", "generic/ubuntu1604"]);
    assert_eq!((code, err.as_str()), (0, "`generic/ubuntu1604` is not on this computer yet\n"));
    assert_snapshot("box-info-catalogue.txt", &out);
    let (code, out, _) = home.run(["box", "info", "fedora/40-cloud-base", "--json"]);
    let known: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &known["catalogue"]["ended"]), (0, &true.into()));
    assert_eq!(known["offers"][0]["architecture"], "amd64");
    assert_eq!(home.run(["box", "info", "generic/ubuntu1604", "--box-version", "4.3.12"]).0, 4);

    let catalogue = home.home().join("config/catalogue");
    std::fs::create_dir_all(&catalogue).unwrap();
    std::fs::write(catalogue.join("mine.toml"), "name = \"me/mine\"\ntitel = 1\n").unwrap();
    let (code, _, err) = home.run(["box", "info", "me/mine"]);
    assert_eq!(code, 1);
    assert!(err.contains("config/catalogue/mine.toml is broken: line 2: unknown field `titel`"), "{err}");
}

#[test]
fn a_box_is_added_and_listed() {
    let home = TestHome::new();
    let mut image = vec![0; 1 << 20];
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(home.project().join("disk.img"), image).unwrap();
    let (code, out, err) = home.run(["box", "add", "--name", "me/raw", "--json", "disk.img"]);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["box"]["name"]), (&"result".into(), &"me/raw".into()));
    let (code, out, _) = home.run(["box", "list"]);
    assert_eq!(code, 0);
    assert!(out.starts_with("NAME    VERSION  PROVIDER  ARCH  SIZE      SHARED\nme/raw  0        "), "{out}");
    let (code, out, err) = home.run(["box", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, err.as_str(), &list["boxes"][0]["name"]), (0, "", &"me/raw".into()));
    assert_eq!(home.run(["box", "add", "--name", "me/raw", "disk.img"]).0, 1, "it is there");
}

/// Adds a raw image; its content differs with `seed`.
fn add_box(home: &TestHome, name: &str, version: &str, seed: u8) {
    let mut image = vec![seed; 8192];
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(home.project().join("disk.img"), image).unwrap();
    let (code, _, err) = home.run(["box", "add", "--name", name, "--box-version", version, "disk.img"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn old_boxes_are_pruned_only_after_a_question_or_by_force() {
    let home = TestHome::new();
    assert_eq!(home.run(["box", "prune"]), (0, String::new(), "there are no old boxes to remove\n".into()));
    for (version, seed) in [("1.2", 1), ("1.10", 2), ("2.0", 3)] {
        add_box(&home, "me/box", version, seed);
    }
    let table = "NAME    VERSION  PROVIDER  ARCH\nme/box  1.2      qemu      -\nme/box  1.10     qemu      -\n";
    let said = "2 boxes would be removed\n";
    assert_eq!(home.run(["box", "prune", "--dry-run"]), (0, table.into(), said.into()));
    let (code, out, err) = home.run(["box", "prune"]);
    assert_eq!((code, out.as_str()), (2, table), "nobody can answer");
    assert!(err.contains("cannot ask whether to remove 2 old boxes") && err.contains("--force"), "{err}");
    let (code, out, _) = home.run(["box", "prune", "--force", "--json"]);
    let pruned: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((code, pruned["pruned"]["removed"].as_array().unwrap().len()), (0, 2));
    assert!(pruned["pruned"]["freed"].as_u64().unwrap() > 0);
    let (_, out, _) = home.run(["box", "list"]);
    assert!(out.contains("2.0") && !out.contains("1.10"), "{out}");
}

#[test]
fn removing_one_of_several_boxes_asks_which() {
    let home = TestHome::new();
    add_box(&home, "me/box", "1", 1);
    add_box(&home, "me/box", "2", 2);
    let (code, _, err) = home.run(["box", "remove", "me/box"]);
    assert_eq!(code, 2);
    assert!(err.contains("several boxes named `me/box`: 1 for qemu and 2 for qemu"), "{err}");
    let (code, _, err) = home.run(["box", "remove", "me/box", "--box-version", "1"]);
    assert_eq!((code, err.as_str()), (0, "box `me/box` 1 is removed\n8.0 KiB are free again\n"));
    assert_eq!(home.run(["box", "remove", "me/box", "--architecture", "arm64"]).0, 4);
    assert_eq!(home.run(["box", "remove", "me/box", "--all"]).0, 0);
}

#[test]
fn a_damaged_box_is_told_with_the_code_of_checksums() {
    let home = TestHome::new();
    add_box(&home, "me/box", "1", 1);
    let (code, out, err) = home.run(["box", "verify"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", "1 file of 1 box read (8.0 KiB): all is well\n"));
    assert_eq!(home.run(["box", "verify", "no/such"]).0, 4);
    let disk = std::fs::read_dir(home.home().join("boxes/disks")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&disk).unwrap();
    let (code, out, err) = home.run(["box", "verify", "me/box"]);
    assert_eq!((code, err.as_str()), (5, "1 file of 1 box read (0 B): 1 problem\n"));
    assert!(out.starts_with("missing [ROOT]/home/boxes/disks/") && out.contains("\n  boxes     me/box 1\n"), "{out}");
    assert!(out.contains("  mend      vbox-rs box add --force --name me/box --box-version 1 [ROOT]/"), "{out}");
    let (code, out, _) = home.run(["box", "verify", "--json"]);
    let report: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((code, &report["verified"]["findings"][0]["trouble"]), (5, &"missing".into()));
}

#[test]
fn what_boxes_share_is_shown() {
    let home = TestHome::new();
    add_box(&home, "me/one", "1", 1);
    add_box(&home, "me/two", "1", 1);
    add_box(&home, "you/three", "1", 3);
    let (_, out, _) = home.run(["box", "list", "me/"]);
    let row = |name: &str| format!("{name}  1        qemu      -     8.0 KiB  8.0 KiB\n");
    let heading = "NAME    VERSION  PROVIDER  ARCH  SIZE     SHARED\n";
    assert_eq!(out, format!("{heading}{}{}", row("me/one"), row("me/two")));
    let (_, out, _) = home.run(["box", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&list["total_size"], &list["boxes"][0]["shared_size"]), (&16384.into(), &8192.into()));
    assert_eq!(
        home.run(["box", "list", "--provider", "libvirt"]).2,
        "no box is like that; `vbox-rs box list` lists all\n"
    );
    let (_, out, _) = home.run(["box", "info", "me/one"]);
    assert!(out.contains("on this disk    8.0 KiB, 8.0 KiB of it shared\nshares with     me/two 1\n"), "{out}");
    let said = "box `me/one` 1 is removed\nits files stay: other boxes or machines need them\n";
    assert_eq!(home.run(["box", "remove", "me/one"]), (0, String::new(), said.into()));
}

#[test]
fn garbage_is_listed_before_it_goes() {
    let home = TestHome::new();
    assert_eq!(home.run(["box", "gc"]), (0, String::new(), "there is nothing to remove\n".into()));
    let disks = home.home().join("boxes/disks");
    std::fs::create_dir_all(&disks).unwrap();
    let orphan = disks.join(format!("{}.qcow2", "a".repeat(64)));
    std::fs::write(&orphan, [1; 100]).unwrap();
    let (code, out, err) = home.run(["box", "gc", "-n"]);
    assert_eq!((code, err.as_str()), (0, "1 thing would be removed, and 4.0 KiB free again\n"));
    assert!(out.contains("unneeded disk  4.0 KiB  [ROOT]/home/boxes/disks/aaa"), "{out}");
    assert!(orphan.exists());
    std::fs::create_dir_all(home.home().join("machines").join("1".repeat(32))).unwrap();
    let record = home.home().join("machines").join("1".repeat(32)).join("machine.json");
    std::fs::write(&record, "{").unwrap();
    let (code, _, err) = home.run(["box", "gc"]);
    assert!(
        code == 0 && orphan.exists() && err.contains("no disk is removed: the record of machine 11111111"),
        "{err}"
    );
    std::fs::remove_file(&record).unwrap();
    assert_eq!(home.run(["box", "gc"]).2, "1 thing removed; 4.0 KiB are free again\n");
    assert!(!orphan.exists());
}

#[test]
fn boxes_without_a_publisher_have_no_newer_version() {
    let home = TestHome::new();
    add_box(&home, "me/box", "1", 1);
    let (code, out, err) = home.run(["box", "outdated", "--global"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("me/box  1        qemu      -     (its source publishes no versions)"), "{out}");
    for (args, instead) in
        [(["box", "outdated"], "box outdated --global"), (["box", "update"], "box update --box NAME")]
    {
        let (code, _, err) = home.run(args);
        assert!(code == 3 && err.contains("no machine file in") && err.contains(instead), "{err}");
    }
    home.write("Vagrantfile", "box = \"me/box\"\n[machines.web]\n[machines.db]\nbox = \"no/such\"\n");
    let (code, out, err) = home.run(["box", "outdated"]);
    assert_eq!((code, out.lines().count()), (0, 2));
    assert_eq!(err, "machine `db`: box `no/such` is not on this computer; `vbox-rs up` fetches it\n");
    add_box(&home, "me/box", "2", 2);
    home.write("Vagrantfile", "box = \"me/box@< 2\"\n");
    let (code, out, _) = home.run(["box", "outdated"]);
    assert!(code == 0 && out.contains("me/box  1  "), "{out}");
    home.write("Vagrantfile", "box = \"me/box@> 2\"\n");
    let (_, _, err) = home.run(["box", "outdated"]);
    assert!(err.starts_with("machine `default`: box `me/box` is not on this computer"), "{err}");
    let (code, _, err) = home.run(["box", "add", "me/box@~> 9"]);
    assert_eq!(code, 4);
    assert!(
        err.starts_with(
            "error: no version of the box `me/box` meets `~> 9`: the library has 1, 2, the catalogue none\n"
        ),
        "{err}"
    );
    let (_, _, err) = home.run(["box", "add", "me/box"]);
    assert!(err.starts_with("error: nobody publishes the box `me/box`: the library has 1, 2, "), "{err}");
    let (code, _, err) = home.run(["box", "update", "--box", "me/box"]);
    assert!(code == 0 && err.ends_with("disk.img, which publishes no versions\n"), "{err}");
    assert_eq!(home.run(["box", "update", "--box", "no/such"]).0, 4);
}

#[test]
fn a_box_is_written_again_only_over_nothing() {
    let home = TestHome::new();
    add_box(&home, "me/box", "1", 1);
    let (code, _, err) = home.run(["box", "repackage", "me/box", "libvirt", "1"]);
    assert_eq!(code, 4);
    let told = "error: no box `me/box` 1 for libvirt is on this computer\n  hint: it is here as 1 for qemu\n";
    assert_eq!(err, told);
    std::fs::write(home.project().join("package.box"), "mine").unwrap();
    let (code, _, err) = home.run(["box", "repackage", "me/box", "qemu", "1"]);
    assert_eq!((code, err.lines().next()), (2, Some("error: package.box exists")));
    let (code, _, err) = home.run(["box", "repackage", "me/box", "qemu", "1", "--output", "x.box"]);
    assert!(code == 0 && err.starts_with("x.box is written"), "{err}");
    assert!(home.project().join("x.box").exists());
}
