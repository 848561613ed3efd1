//! What files say of triggers.

use super::super::tests::{read, wrong};
use crate::config::spec::{Action, OnError, Script, Trigger};

fn triggers(body: &str) -> (Vec<Trigger>, Vec<String>) {
    let text = format!("Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  {body}\nend\n");
    let (mut project, warnings) = read(&text).unwrap();
    (project.machines.remove(0).triggers, warnings)
}

#[test]
fn triggers_of_the_former_plugin_are_read() {
    let (all, warnings) = triggers(
        "def note(text)\n    info \"note: #{text}\"\n  end\n  config.trigger.after :up, :stdout => true, :force => true do\n    \
         run 'echo hi'\n    run_remote 'date'\n    info 'done'\n  end\n  config.trigger.before :halt, :execute => 'sync', :vm => /^def/\n  \
         config.trigger.before :halt, :execute => 'sync', :vm => ['web']\n  config.trigger.instead_of(:destroy) { run 'no' }",
    );
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0].run.as_ref().unwrap().line(), "echo hi");
    assert!(matches!(&all[0].run_remote.as_ref().unwrap().script, Script::Inline(text) if text == "date"));
    assert_eq!((all[0].info.as_deref(), all[0].on_error), (Some("done"), OnError::Continue));
    assert_eq!(all[1].run.as_ref().unwrap().line(), "sync");
    assert!(warnings.iter().any(|one| one == "the trigger instead of `destroy` is left out"), "{warnings:?}");
}

#[test]
fn a_ruby_block_that_only_prints_is_said_and_any_other_is_listed() {
    let (all, warnings) = triggers(
        "config.trigger.after :up do |t|\n    t.name = 'tell'\n    t.ruby do |env, machine|\n      puts \"#{machine.name} is up\"\n      \
         env.ui.info 'bye'\n    end\n  end\n  config.trigger.before :up, ruby: proc { |env, machine| File.read('/etc/hostname') }\n  \
         config.trigger.before :up do |t|\n    t.info = 'x'\n    t.ruby { |env, machine| system('true') }\n  end",
    );
    let infos: Vec<_> = all.iter().filter_map(|one| one.info.as_deref()).collect();
    assert_eq!(infos, ["default is up\nbye\n", "x"]);
    let left: Vec<_> = warnings.iter().filter(|one| one.contains("Ruby block")).collect();
    assert_eq!(left.len(), 2, "{warnings:?}");
}

#[test]
fn what_a_trigger_asks_and_nobody_does_is_listed() {
    let (all, warnings) = triggers(
        "config.trigger.before :ssh, :up, info: 'x', append_to_path: '/x'\n  \
         config.trigger.before :\"VagrantPlugins::X\", type: :hook, info: 'x'\n  config.trigger.after :up, run: { inline: 'make' }",
    );
    assert_eq!(all.iter().map(|one| one.when.actions().to_vec()).collect::<Vec<_>>(), [[Action::Up], [Action::Up]]);
    for wanted in [
        "the trigger before `ssh` is left out",
        "`append_to_path` of a trigger is left out",
        "the trigger before `VagrantPlugins::X` of type `hook` is left out",
        "`make` of the trigger after `up` is left out",
    ] {
        assert!(warnings.iter().any(|warning| warning == wanted), "{wanted}: {warnings:?}");
    }
    assert!(wrong("config.trigger.before(:up) { |t| t.on_error = :stop }").contains("`on_error` cannot be `stop`"));
    assert!(wrong("config.trigger.before(:up) { |t| t.runn = 'x' }").contains("runn"));
    assert!(wrong("config.trigger.before(:up) { |t| t.run = { args: 'x' } }").contains("without `inline` or `path`"));
}
