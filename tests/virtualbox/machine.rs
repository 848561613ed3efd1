//! What the machine file says of hardware, as VirtualBox has it.

use std::fs;
use std::path::Path;

use crate::world::Lab;

#[test]
fn hardware_is_what_the_machine_file_says() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let file = lab.world.project.join("Vagrantfile");
    lab.machine_file(
        "box = \"empty\"\ndisk = \"8 MiB\"\nnic = \"e1000\"\nmac = \"08:00:27:aa:bb:0c\"\ndisk_bus = \"ide\"\n",
    );
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("memory = 32", "memory = 40").replace("cpus = 1", "cpus = 2")).unwrap();
    lab.up();
    let machine = lab.machine();
    let told = |key: &str| lab.info(&machine, key).unwrap_or_default();
    assert_eq!((told("memory").as_str(), told("cpus").as_str()), ("40", "2"));
    assert_eq!((told("nic1").as_str(), told("macaddress1").as_str()), ("nat", "080027AABB0C"));
    assert_eq!(told("nictype1"), "82540EM");
    assert!(["PIIX4", "PIIX3", "ICH6"].contains(&told("storagecontrollertype0").to_uppercase().as_str()));
    // The machine's own disk grew; the one that others may rest on did not.
    lab.run(&["halt", "-f"]).ok();
    let library = lab.world.home().join("boxes");
    let own = lab.media().into_iter().find(|medium| !medium.location.starts_with(&library)).unwrap();
    let size = |disk: &Path| lab.manage(&["showmediuminfo", "disk", disk.to_str().unwrap()]);
    assert!(size(&own.location).contains("8 MBytes"), "{}", size(&own.location));
    let shared: Vec<_> = lab.media().into_iter().filter(|medium| medium.location.starts_with(&library)).collect();
    assert!(shared.iter().all(|medium| medium.capacity == "1 MBytes"), "{shared:?}");
    lab.destroy();
}

#[test]
fn a_customize_list_reaches_virtualbox_as_it_is() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file(
        "box = \"empty\"\n[provider_options.virtualbox]\ncustomize = [[\"modifyvm\", \":id\", \"--vram\", \"20\"], \
         [\"setextradata\", \":id\", \"words\", \"two words, \\\"quoted\\\", \\\\ and ü\"]]\n",
    );
    lab.up();
    let machine = lab.machine();
    assert_eq!(lab.info(&machine, "vram").as_deref(), Some("20"));
    let words = lab.manage(&["getextradata", &machine, "words"]);
    assert_eq!(words.trim_end(), "Value: two words, \"quoted\", \\ and ü");
    lab.destroy();
}

#[test]
fn a_customize_list_that_virtualbox_refuses_is_told_with_its_words() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file(
        "box = \"empty\"\n[provider_options.virtualbox]\ncustomize = [[\"modifyvm\", \":id\", \"--no-such-thing\", \"1\"]]\n",
    );
    let ran = lab.run(&["up"]);
    assert!(ran.code == 3 || ran.code == 8, "{}: {}", ran.code, ran.stderr);
    assert!(ran.stderr.contains("no-such-thing"), "{}", ran.stderr);
    lab.destroy();
}

/// Machines in VirtualBox's interpreter are a hundred times slower: better known before than after.
#[test]
fn a_host_without_driver_or_virtualisation_is_told_before_the_start() {
    let Some(lab) = Lab::with_sleeper() else { return };
    if Path::new("/dev/vboxdrv").exists() {
        println!("skipped: this host has VirtualBox's driver");
        return;
    }
    lab.behave("case $1 in startvm) echo 'VBoxManage: error: it was tried' >&2; exit 1;; esac");
    let ran = lab.run(&["up"]).fails(8, &["no /dev/vboxdrv", "`vbox-rs doctor` says what to do", "it was tried"]);
    let at = |words: &str| ran.stderr.find(words).unwrap();
    assert!(at("no /dev/vboxdrv") < at("it was tried"), "{}", ran.stderr);
    lab.destroy();
}

/// Project folders with spaces, quotes and letters of other languages: names that VirtualBox writes unescaped in places.
#[test]
fn a_project_folder_may_have_any_name() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let folder = lab.world.folder("it's \"my\" ü {project} %s");
    fs::copy(lab.world.project.join("Vagrantfile"), folder.join("Vagrantfile")).unwrap();
    lab.run_in(&folder, &["up"]).fails(10, &[]);
    let status = lab.run_in(&folder, &["status", "--json"]).ok().json();
    assert_eq!(status["machines"][0]["state"], "running");
    assert_eq!(lab.machines("runningvms").len(), 1);
    lab.run_in(&folder, &["destroy", "-f"]).ok();
    lab.assert_nothing_left();
}

/// Two machines of one name in two projects are two machines.
#[test]
fn machines_of_two_projects_have_ports_and_disks_of_their_own() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let other = lab.world.folder("other/project");
    fs::copy(lab.world.project.join("Vagrantfile"), other.join("Vagrantfile")).unwrap();
    let children = [lab.command(&["up"]).spawn().unwrap(), lab.command_in(&other, &["up"]).spawn().unwrap()];
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(10), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let machines = lab.machines("runningvms");
    assert_eq!(machines.len(), 2);
    assert_ne!(lab.forwards(&machines[0]), lab.forwards(&machines[1]));
    lab.run(&["destroy", "-f"]).ok();
    assert_eq!(lab.machines("runningvms").len(), 1);
    lab.run_in(&other, &["destroy", "-f"]).ok();
    lab.assert_nothing_left();
}
