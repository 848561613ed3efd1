//! How much one file may ask for.

use std::rc::Rc;

use super::machine::Defined;
use super::ruby::{Flow, Interp, Stop, StopKind};
use super::section::Config;

/// Settings of one machine: those of the whole file and its own.
const OF_ONE: usize = 10_000;

/// Settings of all machines.
const OF_ALL: usize = 500_000;

/// Refuses machines with more settings than anybody means.
pub fn check(ruby: &mut Interp, user: &Rc<Config>, root: &Rc<Config>, defined: &[Defined]) -> Result<(), Flow> {
    if defined.is_empty() && user.size() + root.size() > OF_ONE {
        return Err(too_much(format!("the machine has more than {OF_ONE} settings")));
    }
    let mut total = 0;
    for machine in defined {
        ruby.at = machine.at;
        let own = user.size() + machine.above.size() + machine.config.size();
        total += own;
        let what = if own > OF_ONE {
            format!("the machine `{}` has more than {OF_ONE} settings", machine.name)
        } else if total > OF_ALL {
            format!("the machines have more than {OF_ALL} settings in all")
        } else {
            continue;
        };
        return Err(too_much(format!(
            "{what}: those of `config` in the block of one machine are those of all that follow"
        )));
    }
    Ok(())
}

fn too_much(message: String) -> Flow {
    Stop { message, kind: StopKind::Bound }.into()
}

#[cfg(test)]
mod tests {
    use crate::config::{self, Error};

    /// The number of machines that a file makes, or what is wrong; in a thread, whose stack is small.
    fn machines(body: &str) -> Result<usize, String> {
        let text = format!("Vagrant.configure('2') do |config|\n  config.vm.box = 'a/b'\n  {body}\nend\n");
        let read = move || {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("Vagrantfile");
            std::fs::write(&file, text).unwrap();
            match config::load(&file) {
                Ok((project, _)) => Ok(project.machines.len()),
                Err(Error::Invalid { rendered, .. }) => Err(rendered),
                Err(other) => Err(other.to_string()),
            }
        };
        std::thread::spawn(read).join().unwrap()
    }

    #[test]
    fn settings_of_the_whole_file_may_grow_while_machines_are_defined() {
        let many = "60.times { |i| config.vm.define(\"m#{i}\") { |m| 5.times { |p| \
                    config.vm.provision \"p#{i}-#{p}\", type: 'shell', inline: 'x' } } }";
        assert_eq!(machines(many), Ok(60));
    }

    #[test]
    fn machines_with_more_settings_than_anybody_means_are_refused() {
        let slip = "1000.times { |i| config.vm.define(\"m#{i}\") { |m| 20.times { \
                    config.vm.provision 'shell', inline: 'x' } } }";
        for (body, wanted) in [
            (slip, "more than 500000 settings in all: those of `config` in the block of one machine are those of all"),
            (
                "11_000.times { |i| config.vm.synced_folder '.', \"/x#{i}\" }",
                "the machine has more than 10000 settings",
            ),
            (
                "900.times { |i| config.vm.define(\"m#{i}\") }; 600.times { config.vm.provision 'shell', inline: 'x' }",
                "more than 500000 settings in all",
            ),
        ] {
            let said = machines(body).unwrap_err().split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(wanted), "{wanted}: {said}");
        }
    }

    #[test]
    fn lists_that_hold_themselves_crash_nothing() {
        for body in [
            "a = []; a << a; config.vagrant.plugins = a",
            "a = []; a << a; config.trigger.before(a) { |t| t.info = 'x' }",
            "a = []; a << a; config.trigger.before(*a) { |t| t.info = 'x' }",
            "a = []; 100_000.times { a = [a] }; config.vagrant.plugins = a",
            "s = config.foo; 50_000.times { t = s.bar; t.x(s); s = t }",
        ] {
            // Whether it is an error is another's question.
            let _ = machines(body);
        }
        assert_eq!(machines("config.vagrant.plugins = ['vagrant-vbguest', ['vagrant-reload']]"), Ok(1));
    }

    #[test]
    fn what_is_very_long_is_shown_in_part() {
        let said = machines("raise 'x' * 10_000_000").unwrap_err();
        assert!(said.len() < 50_000 && said.contains("xxx…"), "{} bytes", said.len());
        let said = machines("config.vm.hostname = 'x y' * 5_000_000").unwrap_err();
        assert!(said.len() < 50_000, "{} bytes", said.len());
        assert!(machines("config.vm.provision 'shell', inline: 'x' * 200_000_000").unwrap_err().contains("memory"));
        let each =
            "50.times { |i| config.vm.define(\"m#{i}\") }; config.vm.provision 'shell', inline: 'x' * 10_000_000";
        assert!(machines(each).unwrap_err().contains("too much memory for all machines together"));
    }
}
