//! What machine files in Ruby may and may not do, and what is told.

use std::fs;
use std::process::Command;

use crate::config::spec::{Accel, DiskBus, Firmware, GraphicsController, Nic, Project};
use crate::config::{self, Error, Level};

/// What a file means, with the messages of its warnings.
pub fn read(text: &str) -> Result<(Project, Vec<String>), String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("Vagrantfile");
    fs::write(&file, text).unwrap();
    match config::load(&file) {
        Ok((project, problems)) => {
            assert!(problems.iter().all(|problem| problem.level != Level::Error));
            Ok((project, problems.into_iter().map(|problem| problem.message).collect()))
        }
        Err(Error::Invalid { rendered, .. }) => Err(rendered),
        Err(other) => panic!("{other}"),
    }
}

pub fn wrong(body: &str) -> String {
    read(&format!("Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  {body}\nend\n")).unwrap_err()
}

#[test]
fn all_addresses_of_a_box_are_carried_over() {
    let file =
        "Vagrant.configure('2') do |c|\n c.vm.box = 'a/b'\n c.vm.box_url = ['http://x/1.box', 'http://y/2.box']\nend";
    let (project, warnings) = read(file).unwrap();
    assert_eq!(project.machines[0].box_url, ["http://x/1.box", "http://y/2.box"]);
    assert_eq!(warnings, [""; 0]);
    assert!(wrong("config.vm.box_url = ['http://x/1.box', 'ftp://y']").contains("`ftp` URLs"));
}

#[test]
fn a_command_of_the_host_is_refused_with_its_line() {
    let text = wrong("x = `rm -rf /tmp/nothing`");
    assert!(text.contains("wants to run a command on this computer: `rm -rf /tmp/nothing`"), "{text}");
    assert!(text.contains("Vagrantfile:3"), "{text}");
    assert!(text.contains("`--trust` lets it"), "{text}");
    for body in
        ["system('touch x')", "exec 'x'", "File.write('x', 'y')", "FileUtils.mkdir_p 'x'", "File.open('x', 'w')"]
    {
        assert!(wrong(body).contains("it wants to"), "{body}: {}", wrong(body));
    }
}

#[test]
fn files_outside_of_the_project_are_not_read() {
    assert!(wrong("File.read('/etc/passwd')").contains("/etc/passwd, outside of the project"));
}

#[test]
fn what_is_left_out_is_told() {
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.provision :ansible, playbook: 'x.yml'\n  \
        config.hostmanager.enabled = true\n  config.vm.box_check_update = false\n  puts 'hello'\nend\n";
    let (project, warnings) = read(text).unwrap();
    assert_eq!(project.machines.len(), 1);
    for wanted in [
        "the provisioner `ansible` is left out",
        "`config.hostmanager` is left out",
        "`config.vm.box_check_update` is not needed",
        "the file says: hello",
    ] {
        assert!(warnings.iter().any(|warning| warning == wanted), "{wanted}: {warnings:?}");
    }
}

#[test]
fn a_slip_is_shown_with_its_place() {
    let text = wrong("config.vm.hostnam = 'x'");
    assert!(text.contains("`config.vm.hostnam` is not known") && text.contains("did you mean `hostname`?"), "{text}");
    let text = wrong("config.vm.hostname = undefined_thing");
    assert!(
        text.contains("undefined local variable or method `undefined_thing'") && text.contains("Vagrantfile:3"),
        "{text}"
    );
    assert!(
        read("Vagrant.configure('2') do |config|\n  config.vm.box = \nend end").unwrap_err().contains("Vagrantfile:")
    );
    assert!(wrong("loop { }").contains("it takes too much"));
}

#[test]
fn what_we_do_not_have_is_named() {
    assert!(wrong("x = Zlib.crc32('a')").contains("not understood: `Zlib.crc32` of Ruby's library"));
    assert!(read("Vagrant.configure('3') { }\n").unwrap_err().contains("configuration version 3"));
    assert!(wrong("require 'no-such-thing'").contains("cannot load such file -- no-such-thing"));
    assert!(
        read("Vagrant.require_version '< 2.0'\nVagrant.configure('2') { }\n").unwrap_err().contains("Vagrant < 2.0")
    );
}

#[test]
fn a_file_that_installs_plugins_and_starts_vagrant_anew_is_read_as_if_it_had() {
    let text = "missing = %w[vagrant-vbguest vagrant-rare].reject { |name| Vagrant.has_plugin?(name) }\n\
        unless missing.empty?\n  system(\"vagrant plugin install #{missing.join(' ')}\")\n  exec \"vagrant #{ARGV.join(' ')}\"\nend\n\
        Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.hostname = 'rare' if Vagrant.has_plugin?('vagrant-rare')\nend\n";
    let (project, _) = read(text).unwrap();
    assert_eq!(project.machines[0].hostname.as_deref(), Some("rare"));
    assert!(read("exec 'vagrant up'\nVagrant.configure('2') { }\n").unwrap_err().contains("start Vagrant itself"));
}

#[test]
fn a_file_that_gives_up_without_a_plugin_is_read_as_if_it_were_there_and_says_so() {
    let text = "%w[vagrant-rare vagrant-bindfs].each do |name|\n  next if Vagrant.has_plugin?(name)\n  puts \"install #{name}\"\n  \
        exit 1\nend\nrequire 'vagrant-other'\nraise 'hosts' unless Vagrant.has_plugin?('landrush')\n\
        Vagrant.configure('2') { |config| config.vm.box = 'a/b' }\n";
    let (project, warnings) = read(text).unwrap();
    assert_eq!(project.machines[0].box_name.as_deref(), Some("a/b"));
    for name in ["vagrant-rare", "vagrant-bindfs", "landrush", "vagrant-other"] {
        assert!(warnings.contains(&format!("the plugin `{name}` is left out")), "{name}: {warnings:?}");
    }
    assert!(read("Vagrant.has_plugin?('x')\nabort 'never'\n").unwrap_err().contains("never"));
}

#[test]
fn changes_of_vagrants_own_classes_are_told() {
    let text = "class VagrantPlugins::ProviderVirtualBox::Action::SetName\n  alias_method :old, :call\n  def call(env) = old(env)\nend\n\
        raise 'hosts' if defined?(VagrantPlugins::HostsUpdater)\n\
        begin\n  raise Vagrant::Errors::SomethingNotFound, 'x'\nrescue Vagrant::Errors::VagrantError\nend\n\
        Vagrant.configure('2') { |config| config.vm.box = 'a/b' }\n";
    let (_, warnings) = read(text).unwrap();
    let wanted = "the change of `VagrantPlugins::ProviderVirtualBox::Action::SetName` is left out";
    assert!(warnings.iter().any(|warning| warning == wanted), "{warnings:?}");
}

#[test]
fn a_program_that_is_not_there_is_not_run() {
    let text = "made = system('no-such-program-of-ours --version') || `no-such-program-of-ours | grep x`\n\
        raise made unless made == '' && $?.exitstatus == 1\nputs Vagrant::Util::Which.which('no-such-program-of-ours').inspect\n\
        Vagrant.configure('2') { |config| config.vm.box = 'a/b' }\n";
    let (_, warnings) = read(text).unwrap();
    assert!(warnings.iter().any(|warning| warning == "the file says: nil"), "{warnings:?}");
}

#[test]
fn settings_of_the_project_come_from_a_dotenv_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(".env"), "# ours\nVBOX_TEST_NAME='from-file'\nHOME=/nowhere\n").unwrap();
    let text = "Vagrant.configure('2') do |config|\n  config.env.enable\n  config.vm.box = 'a/b'\n  \
        config.vm.hostname = ENV['VBOX_TEST_NAME']\n  config.vm.post_up_message = ENV['HOME']\nend\n";
    fs::write(dir.path().join("Vagrantfile"), text).unwrap();
    let (project, problems) = config::load(&dir.path().join("Vagrantfile")).unwrap();
    assert_eq!(project.machines[0].hostname.as_deref(), Some("from-file"));
    assert_ne!(project.machines[0].post_up_message.as_deref(), Some("/nowhere"), "what is set stays");
    assert_eq!(problems, []);
}

#[test]
fn what_cannot_work_is_told_and_left_to_the_command_that_needs_it() {
    let text = "Vagrant.configure('2') do |config|\n  config.vm.provider('docker') { |d| d.image = 'debian' }\n  \
        %w[a b].each { |n| config.vm.define(n) { |m| m.vm.network 'forwarded_port', guest: 80, host: 8080 } }\nend\n";
    let (project, warnings) = read(text).unwrap();
    assert_eq!((project.machines.len(), project.machines[0].box_name.as_deref()), (2, None));
    for wanted in
        ["machine `a` has no box", "tcp port 8080 of the host", "the block of the provider `docker` is left out"]
    {
        assert!(warnings.iter().any(|warning| warning.starts_with(wanted)), "{wanted}: {warnings:?}");
    }
}

#[test]
fn plugins_that_a_file_defines_are_left_out() {
    let text = "module VagrantPlugins::Ours\n  class Plugin < Vagrant.plugin('2')\n    name 'ours'\n    \
        provisioner(:ours) { Ours }\n  end\n  class Ours < Vagrant.plugin(2, :provisioner)\n    def provision; end\n  end\nend\n\
        Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.provision :ours\nend\n";
    let (_, warnings) = read(text).unwrap();
    for wanted in ["the file's own plugin is left out", "the provisioner `ours` is left out"] {
        assert!(warnings.iter().any(|warning| warning == wanted), "{wanted}: {warnings:?}");
    }
}

#[test]
fn hardware_is_what_other_hypervisors_words_mean() {
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  config.vm.provider 'virtualbox' do |vb|\n    \
        vb.default_nic_type = '82540EM'\n    vb.customize ['modifyvm', :id, '--firmware', 'efi']\n  end\nend\n";
    let machine = read(text).unwrap().0.machines.remove(0);
    assert_eq!((machine.nic, machine.firmware), (Some(Nic::E1000), Some(Firmware::Uefi)));
    let text = text
        .replace("virtualbox", "libvirt")
        .replace("vb.default_nic_type = '82540EM'", "vb.disk_bus = 'sata'; vb.driver = 'qemu'");
    let machine =
        read(&text.replace(
            "vb.customize ['modifyvm', :id, '--firmware', 'efi']",
            "vb.loader = '/usr/share/OVMF/OVMF_CODE.fd'",
        ))
        .unwrap()
        .0
        .machines
        .remove(0);
    assert_eq!((machine.disk_bus, machine.firmware), (Some(DiskBus::Sata), Some(Firmware::Uefi)));
    assert_eq!(machine.provider_options.qemu.accel, Accel::Tcg);
}

#[test]
fn words_of_yaml_are_worth_what_psych_says() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = "[yes, 0x10, 010, 1_000, 1.5, 22:30, ~, ':a', \"1\", 1.2.3, 2020-01-01x]";
    fs::write(dir.path().join("x.yml"), yaml).unwrap();
    let text =
        "require 'yaml'\nVagrant.configure('2') { |c| c.vm.box = 'a/b' }\nputs YAML.load_file('x.yml').inspect\n";
    fs::write(dir.path().join("Vagrantfile"), text).unwrap();
    let (_, problems) = config::load(&dir.path().join("Vagrantfile")).unwrap();
    let expected = "[true, 16, 8, 1000, 1.5, 81000, nil, \":a\", \"1\", \"1.2.3\", \"2020-01-01x\"]";
    assert_eq!(problems[0].message, format!("the file says: {expected}"));
}

#[cfg(unix)]
#[test]
fn a_pipe_does_not_hang_the_reader() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    fs::write(dir.path().join("Vagrantfile"), "# mode: ruby\nVagrant.configure('2') { |c| File.read('pipe') }\n")
        .unwrap();
    let error = config::load(&dir.path().join("Vagrantfile")).unwrap_err();
    assert!(error.to_string().contains("is no regular file"), "{error}");
}

/// A machine's file with `body` in VirtualBox's block.
fn for_virtualbox(body: &str) -> (Project, Vec<String>) {
    let (head, tail) = ("Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  ", "\n  end\nend\n");
    read(&format!("{head}config.vm.provider 'virtualbox' do |vb|\n{body}{tail}")).unwrap()
}

#[test]
fn what_a_file_says_to_virtualbox_reaches_it() {
    let body = "vb.gui = true\nvb.name = 'my web'\nvb.linked_clone = false\nvb.check_guest_additions = false\n\
        vb.default_nic_type = '82540EM'\nvb.customize ['modifyvm', :id, '--memory', 2048, '--cpus', '3', '--ioapic', 'on', \
        '--natdnshostresolver1', 'on', '--natpf1', 'delete', 'ssh', '--vram', '64']\n\
        vb.customize ['modifyvm', :id, '--graphicscontroller', 'VMSVGA', '--firmware', 'efi64', '--usb=on']\n\
        vb.customize 'post-boot', ['controlvm', :id, 'setlinkstate1', 'on']\n\
        vb.customize 'pre-boot', ['createhd', '--filename', 'extra.vdi', '--size', 1024]\n\
        vb.customize 'pre-import', ['createhd', '--filename', 'early.vdi', '--size', 8]\n\
        vb.customize 'post-comm', ['modifyvm', :id, '--memory', 4096]\n\
        vb.customize ['storageattach', :id, '--storagectl', 'SATA', '--port', 1, '--medium', 'none']\n";
    let (project, warnings) = for_virtualbox(body);
    let machine = &project.machines[0];
    assert_eq!((machine.memory, machine.cpus), (Some(2048), Some(3)));
    assert_eq!((machine.nic, machine.firmware), (Some(Nic::E1000), Some(Firmware::Uefi)));
    let own = &machine.provider_options.virtualbox;
    assert_eq!((own.gui, own.linked_clone, own.vram), (true, false, Some(64)));
    assert_eq!(own.graphics_controller, Some(GraphicsController::Vmsvga));
    assert_eq!(own.name.as_deref(), Some("my web"));
    let calls: Vec<_> = own.customize.iter().map(|one| Vec::from(one.clone()).join(" ")).collect();
    let [extra, early] = ["extra.vdi", "early.vdi"].map(|name| project.root.join(name).display().to_string());
    assert_eq!(
        calls,
        [
            "modifyvm :id --natdnshostresolver1 on --natpf1 delete ssh",
            "modifyvm :id --usb on",
            "post-boot controlvm :id setlinkstate1 on",
            &format!("createhd --filename {extra} --size 1024"),
            &format!("pre-import createhd --filename {early} --size 8"),
            "post-comm modifyvm :id --memory 4096",
            "storageattach :id --storagectl SATA --port 1 --medium none",
        ]
    );
    let left = |what: &str, word: &str| warnings.iter().any(|one| *one == format!("`{what}` for VirtualBox {word}"));
    assert!(left("--usb", "is left out") && left("--natpf1", "is left out"), "{warnings:?}");
    assert!(left("createhd", "is left out") && left("controlvm", "is not needed"), "{warnings:?}");
    assert!(!warnings.iter().any(|one| one.contains("--ioapic") || one.contains("--memory")), "{warnings:?}");
}

#[test]
fn a_call_that_is_not_made_for_virtualbox_is_told() {
    let (project, warnings) = for_virtualbox(
        "vb.customize 'pre-import', ['modifyvm', :id, '--memory', 9]\nvb.customize ['unregistervm', :id, '--delete']\n\
         vb.customize 'post-bot', ['controlvm', :id, 'pause']\n\
         vb.customize ['modifyvm', :id, '--uartmode1', 'disconnected']\nvb.customize ['modifyvm', :id]\n",
    );
    let machine = &project.machines[0];
    assert_eq!((machine.memory, machine.provider_options.virtualbox.customize.len()), (None, 0));
    let left: Vec<_> = warnings.iter().filter(|one| *one == "this `customize` is left out").collect();
    assert_eq!(left.len(), 3, "{warnings:?}");
    assert!(warnings.iter().any(|one| one == "`--uartmode1` for VirtualBox is not needed"), "{warnings:?}");
}

#[test]
fn what_a_file_says_to_virtualbox_is_imported() {
    let (project, _) = for_virtualbox("vb.name = 'x'\nvb.customize ['modifyvm', :id, '--usb', 'on']\n");
    let text = config::import(&project, &[], false).unwrap();
    assert!(text.contains("[provider_options.virtualbox]") && text.contains("\"--usb\""), "{text}");
}

#[test]
fn sizes_that_are_none_change_nothing_and_are_told() {
    let body = "vb.cpus = 2\nvb.memory = 700\nvb.cpus = nil\nvb.memory = nil\nvb.memory = ''\nvb.cpus = 0\n\
                vb.customize ['modifyvm', :id, '--memory', '0']\n";
    let (project, warnings) = for_virtualbox(body);
    assert_eq!((project.machines[0].cpus, project.machines[0].memory), (Some(2), Some(700)));
    for wanted in ["`cpus` of nil", "`memory` of nil", "`memory` of an empty text", "`cpus` of 0", "`memory` of 0"] {
        assert!(warnings.iter().any(|one| *one == format!("{wanted} is left out")), "{wanted}: {warnings:?}");
    }
}

#[test]
fn a_folder_without_a_place_on_this_computer_is_refused() {
    let old = "Vagrant::Config.run do |config|\n  config.vm.box = 'a/b'\n  config.vm.share_folder 'v-data', '/srv', :nfs => true\nend\n";
    let told = read(old).unwrap_err();
    assert!(told.contains("no folder of this computer is named for `/srv`"), "{told}");
    assert!(wrong("config.vm.synced_folder nil, '/srv'").contains("no folder of this computer is named for `/srv`"));
    read(&old.replace(":nfs", ":disabled")).unwrap();
}

#[test]
fn a_shell_provisioner_has_one_script_and_a_known_time() {
    let told = wrong("config.vm.provision 'shell', inline: 'true', path: 'x.sh'");
    assert!(told.contains("a shell provisioner with `inline` and `path`"), "{told}");
    // Said in two places, it is as much.
    let told = wrong("config.vm.provision('a', type: 'shell', inline: 'true') { |s| s.path = 'x.sh' }");
    assert!(told.contains("a shell provisioner with `inline` and `path`"), "{told}");
    let text = "Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  \
        config.vm.provision 'shell', inline: 'one', path: nil, run: 'allways'\n  config.vm.provision 'shell', reboot: true\nend\n";
    let (project, warnings) = read(text).unwrap();
    let made = &project.machines[0].provisioners;
    assert_eq!((made.len(), made[0].run), (2, config::spec::RunPolicy::Once));
    assert!(warnings.iter().any(|one| one == "`run: \"allways\"` of a provisioner is left out"), "{warnings:?}");
}
