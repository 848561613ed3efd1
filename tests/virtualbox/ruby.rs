//! Machine files in Ruby, as most that were written for VirtualBox are.

use std::fs;

use crate::world::Lab;

/// A file with `body` in VirtualBox's block.
fn with_block(body: &str) -> Option<Lab> {
    let lab = Lab::with_sleeper()?;
    let text = format!(
        "Vagrant.configure('2') do |config|\n  config.vm.box = 'empty'\n  config.vm.boot_timeout = 1\n  \
         config.vm.synced_folder '.', '/vagrant', disabled: true\n  config.vm.provider 'virtualbox' do |vb|\n{body}\n  \
         end\nend\n"
    );
    fs::write(lab.world.project.join("Vagrantfile"), text).unwrap();
    Some(lab)
}

#[test]
fn what_the_file_says_to_virtualbox_is_so() {
    let Some(lab) = with_block(
        "    vb.name = 'My web, one'\n    vb.memory = 36\n    vb.default_nic_type = '82540EM'\n    \
         vb.customize ['modifyvm', :id, '--cpus', 1, '--vram', '24', '--natdnshostresolver1', 'on', '--audio-enabled=off']\n    \
         vb.customize 'post-boot', ['setextradata', :id, 'said', 'after the start']",
    ) else {
        return;
    };
    lab.run(&["up", "--provider", "virtualbox"]).fails(10, &[]);
    let machine = lab.machine();
    let told = |key: &str| lab.info(&machine, key).unwrap_or_default();
    assert_eq!(told("name"), "My web, one");
    assert_eq!([told("memory"), told("cpus"), told("vram")], ["36", "1", "24"]);
    assert_eq!(told("nictype1"), "82540EM");
    assert!(lab.manage(&["getextradata", &machine, "said"]).contains("after the start"));
    let calls = lab.calls();
    let at = |word: &str| calls.iter().position(|call| call.contains(word)).unwrap();
    assert!(at("natdnshostresolver1") < at("startvm") && at("startvm") < at("said after the start"), "{calls:?}");

    lab.run(&["halt", "-f"]).ok();
    let file = lab.world.project.join("Vagrantfile");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("My web", "Your web")).unwrap();
    lab.run(&["up"]).fails(10, &[]);
    assert!(lab.info(&machine, "name").unwrap().starts_with("Your web"));
    assert_eq!(lab.state(), "running");
    lab.destroy();
}

/// The controller's name is that of some box as Vagrant imports it.
#[test]
fn a_disk_that_the_file_makes_hangs_on_the_machine() {
    let Some(lab) = with_block(
        "    vb.customize ['storagectl', :id, '--name', 'SATA Controller', '--portcount', 4]\n    unless File.exist?('extra.vdi')\n      \
         vb.customize ['createhd', '--filename', 'extra.vdi', '--size', 8]\n    end\n    vb.customize ['storageattach', \
         :id, '--storagectl', 'SATA Controller', '--port', 2, '--device', 0, '--type', 'hdd', '--medium', 'extra.vdi']\n    \
         vb.customize ['storagectl', :id, '--name', 'IDE Controller', '--remove']",
    ) else {
        return;
    };
    let inner = lab.world.folder("project/inner");
    lab.run_in(&inner, &["up", "--provider", "virtualbox"]).fails(10, &["no such controller"]);
    let extra = lab.world.project.join("extra.vdi");
    assert!(extra.exists(), "it lies where the machine file is");
    let machine = lab.machine();
    assert_eq!(lab.info(&machine, "\"Disks-2-0\"").as_deref(), extra.to_str());
    lab.run(&["halt", "-f"]).ok();
    lab.run(&["up"]).fails(10, &[]);
    lab.run(&["destroy", "-f"]).ok();
    // What is in it may be the user's work: the file stays, and VirtualBox has it as a disk of nobody.
    assert!(extra.exists());
    lab.manage(&["closemedium", "disk", extra.to_str().unwrap()]);
    lab.assert_nothing_left();
}
