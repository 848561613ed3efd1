//! A machine file in Ruby, as people have them, boots machines.

use std::fs;
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::world::World;

const NODES: &str = "defaults: &defaults\n  memory: 256\nnodes:\n  - <<: *defaults\n    name: web\n    forward: true\n  - <<: *defaults\n    name: db\n";

/// A loop over a YAML file, heredocs, a method, a provider's block written for VirtualBox.
const VAGRANTFILE: &str = r#"# -*- mode: ruby -*-
require "yaml"
nodes = YAML.load_file(File.join(__dir__, "nodes.yml"))["nodes"]
$common = <<~SHELL
  echo "common on $(hostname)"
SHELL

def size(provider, node)
  provider.memory = node.fetch("memory")
  provider.cpus = 1
end

Vagrant.configure("2") do |config|
  config.vm.box = "demo"
  config.vm.box_check_update = false
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provision "common", type: "shell", inline: $common
  nodes.each_with_index do |node, index|
    config.vm.define node["name"] do |machine|
      machine.vm.hostname = node["name"]
      machine.vm.network "forwarded_port", guest: 22, host: PORT, id: "again" if node["forward"]
      machine.vm.provider("virtualbox") { |vb| size(vb, node) }
      machine.vm.provision "shell", privileged: false, args: [node["name"], index], inline: <<-SHELL
        echo "$1 is number $2 of #{nodes.size}" | tee ~/said
      SHELL
    end
  end
  config.trigger.after :up do |trigger|
    trigger.info = "a node is up"
    trigger.run_remote = { inline: 'echo "triggered on $(hostname) by $(id -un)" >>/var/tmp/triggers' }
  end
  config.trigger.before(:halt) { |trigger| trigger.run_remote = { inline: "exit 9" } }
  config.trigger.before :destroy, only_on: "web", run: { inline: "touch web-was-here" }
end
"#;

#[test]
fn a_vagrantfile_with_a_loop_and_a_yaml_file_boots_its_machines() {
    let world = World::with_demo();
    let free = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    world.machine_file(&VAGRANTFILE.replace("PORT", &free.to_string()));
    fs::write(world.project.join("nodes.yml"), NODES).unwrap();
    world.run(&["validate"]).ok().says(&["2 machines", "Vagrantfile:15", "`config.vm.box_check_update`"]);
    world.run(&["up"]).ok().says(&["common on web", "common on db", "web is number 0 of 2", "db is number 1 of 2"]);
    world.run(&["up", "web"]).ok().says(&["a node is up"]);
    let ran = world.run(&["ssh", "web", "-c", "cat /var/tmp/triggers"]).ok();
    assert_eq!(ran.stdout.lines().collect::<Vec<_>>(), ["triggered on web by root"; 2]);
    world.run(&["halt", "db"]).fails(12, &["the trigger before `halt` (Vagrantfile:", "failed with exit code 9"]);
    assert_eq!(world.state("db"), "running");
    assert_eq!((world.state("web"), world.state("db")), ("running".into(), "running".into()));

    let ran =
        world.run(&["ssh", "web", "-c", "hostname; nproc; cat ~/said; awk '/MemTotal/ { print $2 }' /proc/meminfo"]);
    let lines: Vec<_> = ran.ok().stdout.lines().map(str::to_owned).collect();
    assert_eq!(lines[..3], ["web", "1", "web is number 0 of 2"]);
    let memory: u64 = lines[3].parse().unwrap();
    assert!((150_000..=256 << 10).contains(&memory), "{memory} KiB");

    let mut banner = [0; 4];
    let mut stream = TcpStream::connect(("127.0.0.1", free)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.read_exact(&mut banner).unwrap();
    assert_eq!(&banner, b"SSH-");

    world.run(&["destroy", "-f", "db"]).ok();
    assert!(!world.project.join("web-was-here").exists());
    world.run(&["destroy", "-f", "--trust"]).ok();
    assert!(world.project.join("web-was-here").exists());
    world.assert_nothing_left();
}
