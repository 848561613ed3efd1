//! Calls that the machine file asks for, each at its moment: before there is a machine, before its start, after that, and
//! once its guest lets us in.

use std::fs;

use crate::world::Lab;

/// A machine file with calls for several moments, in Vagrant's language.
pub fn in_ruby(calls: &str) -> String {
    format!(
        "Vagrant.configure('2') do |config|\n  config.vm.box = 'empty'\n  config.vm.boot_timeout = 1\n  \
         config.vm.synced_folder '.', '/vagrant', disabled: true\n  config.vm.provider 'virtualbox' do |vb|\n    \
         vb.memory = 32\n    vb.cpus = 1\n{calls}\n  end\nend\n"
    )
}

pub fn write(lab: &Lab, text: &str) {
    fs::write(lab.world.project.join("Vagrantfile"), text).unwrap();
}

/// Of the calls made since this was asked last, those that name one of `words`, by the word; once where VirtualBox was busy
/// and it was asked again.
pub fn made(lab: &Lab, words: &[&str]) -> Vec<String> {
    let of = |call: &String| words.iter().find(|word| call.contains(**word)).map(ToString::to_string);
    let mut made: Vec<_> = lab.calls().iter().filter_map(of).collect();
    made.dedup();
    made
}

const MOMENTS: &[&str] = &["early.vdi", "createvm", "said before", "startvm", "said after", "said late"];

#[test]
fn each_call_is_made_at_its_moment() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let early = lab.world.project.join("early.vdi");
    let files = [
        in_ruby(
            "    vb.customize 'post-comm', ['setextradata', :id, 'said', 'late']\n    vb.customize 'post-boot', ['setextradata', \
             :id, 'said', 'after']\n    vb.customize ['setextradata', :id, 'said', 'before']\n    vb.customize 'pre-import', \
             ['createhd', '--filename', 'early.vdi', '--size', 1]",
        ),
        format!(
            "box = \"empty\"\nboot_timeout = 1\nmemory = 32\ncpus = 1\n[provider_options.virtualbox]\ncustomize = [[\"post-comm\", \
             \"setextradata\", \":id\", \"said\", \"late\"], [\"post-boot\", \"setextradata\", \":id\", \"said\", \"after\"], \
             [\"setextradata\", \":id\", \"said\", \"before\"], [\"pre-import\", \"createmedium\", \"--filename\", \"{}\", \"--size\", \
             \"1\"]]\n",
            early.display()
        ),
    ];
    for text in files {
        write(&lab, &text);
        lab.calls();
        lab.run(&["up", "--provider", "virtualbox"]).fails(10, &[]);
        assert!(early.exists());
        // Nobody is reached in such a guest.
        assert_eq!(made(&lab, MOMENTS), ["early.vdi", "createvm", "said before", "startvm", "said after"], "{text}");
        lab.run(&["up"]).fails(10, &[]);
        assert_eq!(made(&lab, MOMENTS), [""; 0], "it runs: {text}");
        lab.run(&["reload", "-f"]).fails(10, &[]);
        assert_eq!(made(&lab, MOMENTS), ["said before", "startvm", "said after"], "{text}");
        lab.run(&["suspend"]).ok();
        lab.run(&["resume"]).fails(10, &[]);
        assert_eq!(made(&lab, MOMENTS), ["startvm"], "it goes on: {text}");
        lab.run(&["destroy", "-f"]).ok();
        // The file is the user's.
        lab.manage(&["closemedium", "disk", early.to_str().unwrap(), "--delete"]);
        lab.assert_nothing_left();
    }
}

/// A kill comes right after VirtualBox did what it was asked, and nobody wrote that down.
#[test]
fn what_a_kill_met_is_not_made_twice() {
    let Some(lab) = Lab::with_sleeper() else { return };
    write(
        &lab,
        &in_ruby(
            "    vb.customize 'pre-import', ['createhd', '--filename', 'first.vdi', '--size', 1]\n    vb.customize 'pre-import', \
             ['createhd', '--filename', 'early.vdi', '--size', 1]\n    vb.customize 'post-boot', ['setextradata', :id, 'said', \
             'after']\n    vb.customize 'post-boot', ['sharedfolder', 'add', :id, '--name', 'late', '--hostpath', '/tmp', \
             '--transient']\n    vb.customize 'post-boot', ['setextradata', :id, 'said', 'last']",
        ),
    );
    let words = ["first.vdi", "early.vdi", "createvm", "startvm", "said after", "sharedfolder", "said last"];
    lab.calls();
    for (kills_at, until) in [("early.vdi", &words[..2]), ("sharedfolder", &words[1..6])] {
        lab.behave(&format!("case \"$*\" in *{kills_at}*) \"$REAL\" \"$@\"; kill -9 $PPID; exit 1;; esac"));
        let ran = lab.run(&["up", "--provider", "virtualbox"]);
        assert_eq!(ran.code, -1, "it was killed: {}", ran.stderr);
        assert_eq!(made(&lab, &words), until);
    }
    lab.behave("");
    assert_eq!(lab.state(), "running");
    lab.run(&["up"]).fails(10, &[]);
    assert_eq!(made(&lab, &words), ["sharedfolder", "said last"]);
    assert_eq!(lab.info(&lab.machine(), "SharedFolderNameTransientMapping1").as_deref(), Some("late"));
    lab.run(&["destroy", "-f"]).ok();
    for disk in ["first.vdi", "early.vdi"] {
        lab.manage(&["closemedium", "disk", lab.world.project.join(disk).to_str().unwrap(), "--delete"]);
    }
    lab.assert_nothing_left();
}

#[test]
fn a_call_that_fails_before_there_is_a_machine_leaves_none() {
    let Some(lab) = Lab::with_sleeper() else { return };
    fs::write(lab.world.project.join("early.vdi"), "somebody's").unwrap();
    let text = in_ruby("    vb.customize 'pre-import', ['createhd', '--filename', 'early.vdi', '--size', 1]");
    write(&lab, &text);
    // Again is no other thing: nothing was cut short.
    for _ in 0..2 {
        lab.run(&["up", "--provider", "virtualbox"]).fails(8, &["early.vdi"]);
        assert_eq!(lab.state(), "not created");
        assert!(lab.machines("vms").is_empty());
    }
    assert_eq!(fs::read_to_string(lab.world.project.join("early.vdi")).unwrap(), "somebody's");
    write(&lab, &text.replace("early.vdi", "other.vdi"));
    lab.run(&["up"]).fails(10, &[]);
    lab.run(&["destroy", "-f"]).ok();
    lab.manage(&["closemedium", "disk", lab.world.project.join("other.vdi").to_str().unwrap(), "--delete"]);
    lab.assert_nothing_left();
}

/// The file may be mended while the machine runs: what it says by now counts.
#[test]
fn a_call_that_failed_in_a_machine_that_runs_is_made_anew() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let text = in_ruby("    vb.customize 'post-boot', ['controlvm', :id, 'nonsense']");
    write(&lab, &text);
    for _ in 0..2 {
        let ran = lab.run(&["up", "--provider", "virtualbox"]);
        assert!([3, 8].contains(&ran.code) && ran.stderr.contains("nonsense"), "{}: {}", ran.code, ran.stderr);
        assert_eq!(lab.state(), "running");
    }
    write(&lab, &text.replace("['controlvm', :id, 'nonsense']", "['setextradata', :id, 'said', 'after']"));
    lab.calls();
    lab.run(&["up"]).fails(10, &[]);
    assert_eq!(made(&lab, MOMENTS), ["said after"]);
    lab.destroy();
}

#[test]
fn what_cannot_be_made_at_a_moment_is_refused_with_the_reason() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file(
        "box = \"empty\"\n[provider_options.virtualbox]\ncustomize = [[\"pre-import\", \"modifyvm\", \":id\", \"--vram\", \"20\"], \
         [\"post-bot\", \"controlvm\", \":id\", \"pause\"]]\n",
    );
    let told = lab.run(&["validate"]).fails(3, &[]).stderr;
    let root = lab.world.project.display().to_string();
    snapbox::assert_data_eq!(
        told.replace(&root, "[PROJECT]"),
        snapbox::str![[r#"
error: bad value of `customize`
 --> Vagrantfile:7:14
  |
7 | customize = [["pre-import", "modifyvm", ":id", "--vram", "20"], ["post-bot", "controlvm", ":id", "pause"]]
  |              ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ names the machine by `:id` at `pre-import`, when there is none yet
  |
  = help: leave `pre-import` out: the call is made before each start then

error: bad value of `customize`
 --> Vagrantfile:7:65
  |
7 | customize = [["pre-import", "modifyvm", ":id", "--vram", "20"], ["post-bot", "controlvm", ":id", "pause"]]
  |                                                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ `post-bot` is no moment at which calls are made
  |
  = help: `pre-import`, `pre-boot`, `post-boot` and `post-comm` are

"#]]
    );
    write(
        &lab,
        &in_ruby(
            "    vb.customize 'pre-import', ['modifyvm', :id, '--vram', 20]\n    vb.customize 'post-bot', ['controlvm', :id, \
             'pause']",
        ),
    );
    let told = lab.run(&["validate"]);
    snapbox::assert_data_eq!(
        told.stderr.replace(&root, "[PROJECT]"),
        snapbox::str![[r"
warning: the machine file asks for what is not done here
  it changes the result:
    Vagrantfile:8  this `customize`: names the machine by `:id` at `pre-import`, when there is none yet
    Vagrantfile:9  this `customize`: `post-bot` is no moment at which calls are made

"]]
    );
}
