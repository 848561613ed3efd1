//! Machine files in Ruby: read, run, and made into machines, in this process.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use crate::stats::{Row, Samples};
use crate::tool::Subject;

/// A file as people write them, and one with as many machines as a project may have.
pub fn evaluation(rounds: usize) -> Vec<Row> {
    let subject = Subject::new();
    [("a machine file in Ruby, 200 lines", ordinary(), 0.005), ("1,000 machines in a loop of Ruby", many(), 0.1)]
        .into_iter()
        .map(|(what, text, bound)| {
            let file = subject.world.folder(if bound < 0.01 { "ordinary" } else { "many" }).join("Vagrantfile");
            fs::write(&file, text).unwrap();
            Row { what: what.into(), ours: measured(&file, rounds), peer: None, bound, rss: None }
        })
        .collect()
}

fn measured(file: &Path, rounds: usize) -> Samples {
    let mut samples = Samples::default();
    for _ in 0..rounds {
        let began = Instant::now();
        vbox_rs::config::load(file).expect("the file is right");
        samples.0.push(began.elapsed());
    }
    samples
}

/// Settings, a table of machines, a loop with conditions, provisioners: 200 lines.
fn ordinary() -> String {
    let mut text = String::from("require 'yaml'\n\nMACHINES = {\n");
    for number in 0..20 {
        writeln!(
            text,
            "  'node{number}' => {{ ip: '192.168.56.{}', memory: {}, cpus: 2 }},",
            number + 10,
            512 + number
        )
        .unwrap();
    }
    text.push_str("}.freeze\n\ndef size(settings)\n  settings.fetch(:memory, 1024) * 2\nend\n\n");
    text.push_str("Vagrant.configure('2') do |config|\n  config.vm.box = 'debian/bookworm64'\n");
    text.push_str("  MACHINES.each_with_index do |(name, settings), index|\n    config.vm.define name do |node|\n");
    text.push_str(
        "      node.vm.hostname = \"#{name}.example\"\n      node.vm.network 'private_network', ip: settings[:ip]\n",
    );
    text.push_str("      node.vm.provider 'virtualbox' do |vb|\n        vb.memory = size(settings)\n        vb.cpus = settings[:cpus]\n      end\n");
    for number in 0..40 {
        writeln!(text, "      if index == {number}\n        node.vm.provision 'shell', inline: <<~SHELL\n          echo #{{name}} {number}\n        SHELL\n      end").unwrap();
    }
    text.push_str("    end\n  end\nend\n");
    text
}

fn many() -> String {
    "Vagrant.configure('2') do |config|\n  config.vm.box = 'debian/bookworm64'\n  (0...1000).each do |i|\n    \
     config.vm.define \"node#{i}\" do |node|\n      node.vm.hostname = \"node-#{i}\"\n      node.vm.network \
     'private_network', ip: \"10.10.#{i / 250}.#{i % 250 + 1}\"\n      node.vm.provider('virtualbox') { |vb| vb.memory = 512 + i }\n      \
     node.vm.provision 'shell', inline: \"echo #{i}\"\n    end\n  end\nend\n"
        .into()
}
