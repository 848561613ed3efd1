//! Extra disks among the media that machine files hang up themselves.

use std::fs;

use crate::world::Lab;

const DATA: &str = "[[extra_disk]]\nname = \"data\"\nsize = \"8 MiB\"\n";

/// What hangs on a port, by the end of its name.
fn on_port(lab: &Lab, port: u32) -> String {
    let medium = lab.info(&lab.machine(), &format!("\"Disks-{port}-0\"")).unwrap_or_default();
    medium.rsplit('/').next().unwrap_or_default().to_owned()
}

#[test]
fn a_disk_that_a_killed_up_left_half_made_is_made_anew() {
    let Some(lab) = Lab::with_sleeper() else { return };
    for call in ["createmedium * --sizebyte", "storageattach * 1 *disk1.vdi"] {
        lab.machine_file("box = \"empty\"\n");
        lab.up();
        lab.run(&["halt", "-f"]).ok();
        lab.machine_file(&format!("box = \"empty\"\n{DATA}"));
        lab.up_killed_after(call);
        lab.up();
        assert_eq!(on_port(&lab, 1), "disk1.vdi");
        lab.destroy();
        lab.assert_nothing_left();
    }
}

#[test]
fn a_reload_makes_what_a_killed_up_did_not_come_to() {
    let Some(lab) = Lab::with_sleeper() else { return };
    lab.machine_file(&format!("box = \"empty\"\n{DATA}"));
    lab.up_killed_after("createvm");
    lab.run(&["reload"]).fails(10, &[]);
    assert_eq!((lab.state(), on_port(&lab, 1)), ("running".into(), "disk1.vdi".into()));
    lab.destroy();
    lab.assert_nothing_left();
}

#[test]
fn the_place_of_an_extra_disk_is_for_nothing_else() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let theirs = lab.theirs().join("theirs.vdi");
    lab.manage(&["createmedium", "disk", "--filename", theirs.to_str().unwrap(), "--size", "4"]);
    let customize = format!(
        "[provider_options.virtualbox]\ncustomize = [[\"storageattach\", \":id\", \"--storagectl\", \"SATA Controller\", \
         \"--port\", \"1\", \"--type\", \"hdd\", \"--medium\", \"{}\"]]\n",
        theirs.display()
    );
    lab.machine_file(&format!("box = \"empty\"\n{DATA}{customize}"));
    let told = "`customize` hangs a medium on port 1, where extra_disk `data` is (use a later port there)";
    lab.run(&["up"]).fails(8, &[told]);
    lab.run(&["destroy", "-f"]).ok();

    // It is there already, by that call or by hand.
    lab.machine_file(&format!("box = \"empty\"\n{customize}"));
    lab.up();
    lab.machine_file(&format!("box = \"empty\"\n{DATA}"));
    lab.run(&["reload", "-f"]).fails(7, &["using its slot for another medium"]);
    assert_eq!(lab.state(), "running");
    lab.run(&["halt", "-f"]).ok();
    lab.run(&["up"]).fails(7, &["using its slot for another medium", "put that one on a later port"]);
    assert_eq!(on_port(&lab, 1), "theirs.vdi", "nothing was taken away");
    lab.run(&["destroy", "-f"]).ok();
    lab.manage(&["closemedium", "disk", theirs.to_str().unwrap()]);
    lab.assert_nothing_left();
}

#[test]
fn a_vagrantfile_with_disks_gets_them() {
    let Some(lab) = Lab::with_sleeper() else { return };
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'empty'\n  config.vm.boot_timeout = 1\n  config.vm.synced_folder \
                '.', '/vagrant', disabled: true\n  config.vm.provider('virtualbox') { |vb| vb.memory = 32 }\n  config.vm.disk \
                :disk, name: 'my data', size: '8MB'\n  config.vm.disk :disk, name: 'more', size: 4 * 1024 * 1024\nend\n";
    fs::write(lab.world.project.join("Vagrantfile"), text).unwrap();
    lab.run(&["up", "--provider", "virtualbox"]).fails(10, &[]);
    assert_eq!(on_port(&lab, 1), "disk1.vdi");
    assert_eq!(on_port(&lab, 2), "disk2.vdi");
    lab.run(&["destroy", "-f"]).ok();
    lab.assert_nothing_left();
}
