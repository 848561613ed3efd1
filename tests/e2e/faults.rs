//! `kill -9` at any instant of any command leaves a state from which the same command, or `destroy`, goes on.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::world::World;

/// Instants are drawn from the time that the command takes undisturbed; a printed seed repeats a run.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("VBOX_RS_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| {
            let mut bytes = [0; 8];
            File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
            u64::from_le_bytes(bytes)
        });
        println!("VBOX_RS_TEST_SEED={seed}");
        Self(seed | 1)
    }

    /// An instant in `0..span`. Marsaglia's xorshift64, 2003.
    fn instant(&mut self, span: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let micros = u64::try_from(span.as_micros()).unwrap().max(1);
        Duration::from_micros(self.0 % micros)
    }
}

fn kill_after(mut child: Child, time: Duration) {
    thread::sleep(time);
    drop(child.kill());
    child.wait().unwrap();
}

/// A machine whose disk is empty: its hypervisor starts for real, and nothing has to boot.
fn empty_machine(world: &World) {
    world.add_empty_box();
    world.machine_file("box = \"empty\"\nboot_timeout = 1\ngraceful_halt_timeout = 1\nmemory = 128\n");
}

fn measured(world: &World, args: &[&str]) -> Duration {
    let began = Instant::now();
    world.run(args);
    began.elapsed()
}

#[test]
fn up_killed_at_any_instant_is_taken_up_again() {
    let world = World::empty();
    empty_machine(&world);
    let mut dice = Dice::new();
    // The part before the guest is awaited is where all the writing is.
    let span = measured(&world, &["up"]).saturating_sub(Duration::from_millis(800));
    world.run(&["destroy", "-f"]).ok();
    for round in 0..14 {
        kill_after(world.command(&["up"]).spawn().unwrap(), dice.instant(span));
        world.run(&["status"]).ok();
        if round % 2 == 0 {
            // Exit code 10 is right: nothing answers on an empty disk.
            world.run(&["up"]).fails(10, &[]);
            assert_eq!(world.processes().len(), 1);
        }
        world.run(&["destroy", "-f"]).ok();
        world.assert_nothing_left();
    }
}

#[test]
fn halt_and_destroy_killed_at_any_instant_are_taken_up_again() {
    let world = World::empty();
    empty_machine(&world);
    let mut dice = Dice::new();
    world.run(&["up"]).fails(10, &[]);
    let halt = measured(&world, &["halt"]);
    world.run(&["up"]).fails(10, &[]);
    let destroy = measured(&world, &["destroy", "-f"]);
    for round in 0..16 {
        world.run(&["up"]).fails(10, &[]);
        let (args, span): (&[&str], _) = if round % 2 == 0 { (&["halt"], halt) } else { (&["destroy", "-f"], destroy) };
        kill_after(world.command(args).spawn().unwrap(), dice.instant(span));
        world.run(&["global-status"]).ok();
        world.run(args).ok();
        assert_eq!(world.processes(), [0; 0]);
        world.run(&["destroy", "-f"]).ok();
        world.assert_nothing_left();
    }
}

#[test]
fn suspend_killed_at_any_instant_is_taken_up_again() {
    let world = World::empty();
    empty_machine(&world);
    let mut dice = Dice::new();
    world.run(&["up"]).fails(10, &[]);
    let span = measured(&world, &["suspend"]);
    for round in 0..10 {
        world.run(&["up"]);
        assert_eq!(world.state("default"), "running");
        kill_after(world.command(&["suspend"]).spawn().unwrap(), dice.instant(span));
        let found = world.run(&["status"]).ok().stdout;
        println!("{found}");
        if round % 2 == 0 {
            world.run(&["suspend"]).ok();
            assert_eq!(world.state("default"), "saved");
            assert_eq!(world.processes(), [0; 0]);
        } else {
            world.run(&["destroy", "-f"]).ok();
            world.assert_nothing_left();
        }
    }
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

/// A `suspend` that was killed once everything is on disk, and before the process was told to end.
#[test]
fn a_process_left_beside_its_saved_memory_is_ended_by_the_next_suspend() {
    let world = World::empty();
    empty_machine(&world);
    world.run(&["up"]).fails(10, &[]);
    world.run(&["suspend"]).ok();
    let memory = world.home().join("machines").join(world.id("default")).join("saved-state");
    let copy = world.project.join("memory");
    fs::copy(&memory, &copy).unwrap();
    world.run(&["resume"]).fails(10, &[]);
    world.run(&["suspend", "--pause"]).ok();
    fs::rename(&copy, &memory).unwrap();
    assert_eq!((world.state("default").as_str(), world.processes().len()), ("saved", 1));
    world.run(&["suspend"]).ok();
    assert_eq!((world.state("default").as_str(), world.processes().len()), ("saved", 0));
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn resume_killed_at_any_instant_is_taken_up_again() {
    let world = World::empty();
    empty_machine(&world);
    let mut dice = Dice::new();
    world.run(&["up"]).fails(10, &[]);
    world.run(&["suspend"]).ok();
    // Once it runs, nothing but waiting is left.
    let span = measured(&world, &["resume"]).saturating_sub(Duration::from_millis(800));
    for round in 0..10 {
        world.run(&["up"]);
        world.run(&["suspend"]).ok();
        kill_after(world.command(&["resume"]).spawn().unwrap(), dice.instant(span));
        let found = world.run(&["status"]).ok().stdout;
        println!("{found}");
        if round % 2 == 0 {
            // Nothing answers on an empty disk.
            world.run(&["resume"]).fails(10, &[]);
            assert_eq!(world.state("default"), "running");
            assert_eq!(world.processes().len(), 1);
        } else {
            world.run(&["destroy", "-f"]).ok();
            world.assert_nothing_left();
        }
    }
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn up_killed_while_its_guest_boots_is_taken_up_again() {
    let world = World::with_demo();
    world.machine_file(
        "box = \"demo\"\n[[provision]]\ntype = \"shell\"\ninline = \"sleep 1; echo run >> /var/tmp/runs\"\n",
    );
    let mut dice = Dice::new();
    let began = Instant::now();
    world.run(&["up"]).ok();
    let third = began.elapsed() / 3;
    world.run(&["destroy", "-f"]).ok();
    // In the boot, about the login, and while folders and scripts are under way.
    for part in 0..3 {
        let instant = third * part + dice.instant(third);
        println!("killed after {instant:?}");
        kill_after(world.command(&["up"]).spawn().unwrap(), instant);
        world.run(&["status"]).ok();
        world.run(&["up"]).ok();
        assert_eq!(world.state("default"), "running");
        assert_eq!(world.processes().len(), 1);
        world.run(&["ssh", "-c", "test -s /vagrant/Vagrantfile && test -s /var/tmp/runs"]).ok();
        world.run(&["up"]).ok().says(&["already running"]);
        world.run(&["destroy", "-f"]).ok();
        world.assert_nothing_left();
    }
}

/// A tar.gz box of some size with an incompressible disk.
fn sizeable_box(folder: &Path) -> std::path::PathBuf {
    let run = |script: &str| {
        let status = std::process::Command::new("sh").current_dir(folder).args(["-ec", script]).status().unwrap();
        assert!(status.success(), "{script}");
    };
    run("head -c 67108864 /dev/urandom > raw && qemu-img convert -f raw -O qcow2 raw box.img && rm raw
         printf '{\"provider\":\"libvirt\",\"format\":\"qcow2\",\"virtual_size\":1}' > metadata.json
         tar -czf sizeable.box metadata.json box.img && rm box.img");
    folder.join("sizeable.box")
}

#[test]
fn box_add_killed_at_any_instant_leaves_no_half_box() {
    let world = World::empty();
    let path = sizeable_box(&world.folder("box"));
    let path = path.to_str().unwrap();
    let mut dice = Dice::new();
    let add = ["box", "add", path, "--name", "big"];
    let span = measured(&world, &add);
    world.run(&["box", "remove", "big", "-f"]).ok();
    for _ in 0..12 {
        kill_after(world.command(&add).spawn().unwrap(), dice.instant(span));
        let listed = world.run(&["box", "list", "--json"]).ok().json();
        if listed["boxes"].as_array().unwrap().is_empty() {
            world.run(&add).ok();
        }
        world.run(&["box", "remove", "big", "-f"]).ok();
        assert_eq!(files(&world.home().join("boxes")), 0, "nothing but folders and locks may be left");
    }
}

fn files(path: &Path) -> usize {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    entries
        .map(|entry| {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                files(&entry.path())
            } else {
                usize::from(entry.metadata().unwrap().len() > 4096)
            }
        })
        .sum()
}

#[test]
fn a_damaged_or_newer_record_is_refused_and_kept() {
    let world = World::empty();
    empty_machine(&world);
    world.run(&["up"]).fails(10, &[]);
    world.run(&["halt", "-f"]).ok();
    let record = world.home().join("machines").join(world.id("default")).join("machine.json");
    let good = fs::read_to_string(&record).unwrap();
    for (bad, words) in [("{\"format\": 1, \"id", "damaged"), ("{\"format\": 99}", "format 99")] {
        fs::write(&record, bad).unwrap();
        world.run(&["up"]).fails(15, &[words, "machine.json"]);
        world.run(&["destroy", "-f"]).fails(15, &[words]);
        world.run(&["global-status"]).ok().says(&["damaged"]);
        assert_eq!(fs::read_to_string(&record).unwrap(), bad);
    }
    fs::write(&record, good).unwrap();
    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}
