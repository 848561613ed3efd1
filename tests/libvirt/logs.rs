//! The console's log in the care of libvirt's log daemon, which puts it aside when it is long: here once a second.

use std::io::{BufRead, BufReader, Read};
use std::time::Duration;

use crate::daemon::Daemon;
use crate::guest::World;
use crate::world::{TestVm, names};

const CONF: &str = "max_size = 2048\nmax_backups = 3\n";

/// Lines that one file takes.
const A_FILE: usize = 2048 / 5;

/// A boot sector that counts on the serial console, sixteen lines for each of the timer's ticks, four digits a line: `a` is
/// 0, `p` is 15.
///
/// ```text
///         xor bx, bx
///         sti
/// again:  test bl, 15
///         jnz go
///         hlt
/// go:     inc bx
///         mov cx, 4
/// digit:  rol bx, 4
///         mov al, bl
///         and al, 15
///         add al, 'a'
///         call put
///         loop digit
///         mov al, 10
///         call put
///         jmp again
/// put:    mov ah, al
///         mov dx, 0x3fd
/// full:   in al, dx
///         test al, 0x20
///         jz full
///         mov dx, 0x3f8
///         mov al, ah
///         out dx, al
///         ret
/// ```
const TALKER: &[u8] = &[
    0x31, 0xdb, 0xfb, 0xf6, 0xc3, 0x0f, 0x75, 0x01, 0xf4, 0x43, 0xb9, 0x04, 0x00, 0xc1, 0xc3, 0x04, 0x88, 0xd8, 0x24,
    0x0f, 0x04, 0x61, 0xe8, 0x09, 0x00, 0xe2, 0xf2, 0xb0, 0x0a, 0xe8, 0x02, 0x00, 0xeb, 0xe1, 0x88, 0xc4, 0xba, 0xfd,
    0x03, 0xec, 0xa8, 0x20, 0x74, 0xfb, 0xba, 0xf8, 0x03, 0x88, 0xe0, 0xee, 0xc3,
];

/// The numbers among these lines. None may be missing between the first and the last.
fn counted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<u16> {
    let digit = |number: u16, letter: u8| number << 4 | u16::from(letter - b'a');
    let numbers =
        lines.map(str::trim_end).filter(|line| line.len() == 4 && line.bytes().all(|c| (b'a'..=b'p').contains(&c)));
    let numbers: Vec<u16> = numbers.map(|line| line.bytes().fold(0, digit)).collect();
    for pair in numbers.windows(2) {
        assert_eq!(pair[1], pair[0].wrapping_add(1), "lines are missing, or were shown twice");
    }
    numbers
}

#[test]
fn logs_are_whole_and_followed_through_all_that_was_put_aside() {
    let world = World::on("libvirt");
    let daemon = match Daemon::with(&world.folder("d"), None, Some(CONF)) {
        Ok(daemon) => daemon,
        Err(why) => return println!("skipped: {why}"),
    };
    world.add_boot_sector("talker", TALKER);
    world.machine_file(&format!(
        "box = \"talker\"\nboot_timeout = 1\nmemory = 64\n[provider_options.libvirt]\nuri = \"{}\"\naccel = \"tcg\"\n",
        daemon.uri()
    ));
    world.run(&["up"]).fails(10, &[]);
    let mut process = world.command(&["logs", "-f"]).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
    let followed: Vec<String> = lines.take(4 * A_FILE).collect();
    process.kill().unwrap();
    process.wait().unwrap();
    let followed = counted(followed.iter().map(String::as_str));
    assert!(followed.len() > 3 * A_FILE, "{}", followed.len());

    let all = counted(world.run(&["logs"]).ok().stdout.lines());
    assert!(all.len() > 2 * A_FILE, "{}", all.len());
    let since = |number: u16| number.wrapping_sub(followed[followed.len() - 1]);
    let end = world.run(&["logs", "-n", "600"]).ok().stdout;
    assert_eq!(end.lines().count(), 600);
    let end = counted(end.lines());
    assert!(end.len() >= 598 && since(end[end.len() - 1]) >= since(all[all.len() - 1]));

    world.run(&["destroy", "-f"]).ok();
    world.assert_nothing_left();
}

#[test]
fn a_console_is_read_on_while_its_log_is_put_aside() {
    let Some(mut test) = TestVm::logging(CONF) else { return };
    let mut disk = vec![0; 1 << 20];
    disk[..TALKER.len()].copy_from_slice(TALKER);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    std::fs::write(test.root.path().join("image.raw"), disk).unwrap();
    test.up(&test.plan());
    let mut console = test.vm.console().unwrap();
    console.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut said, mut bytes) = (Vec::new(), [0; 512]);
    while said.len() < 5 * 3 * A_FILE {
        let count = console.read(&mut bytes).unwrap();
        assert!(count > 0, "the console goes on");
        said.extend_from_slice(&bytes[..count]);
    }
    assert!(names(&test.dir()).contains(&"console.log.1".to_owned()), "{:?}", names(&test.dir()));
    let said = String::from_utf8_lossy(&said);
    assert!(counted(said.lines()).len() > 2 * A_FILE);
    // The next start goes on with the file that the log daemon began.
    let plan = test.plan();
    test.vm.kill().unwrap();
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
}

#[test]
fn what_a_start_puts_aside_is_a_part_of_the_log_too() {
    let Some(mut test) = TestVm::new() else { return };
    let plan = test.plan();
    test.up(&plan);
    test.vm.kill().unwrap();
    let log = test.vm.console_log();
    std::fs::File::options().append(true).open(&log).unwrap().set_len((16 << 20) + 1).unwrap();
    test.vm.start(&test.cx(), &plan, &[]).unwrap();
    assert_eq!(test.vm.earlier_console_logs(), [test.dir().join("console.log.old")]);
    test.vm.destroy(&test.cx()).unwrap();
    assert_eq!(names(&test.dir()), [""; 0]);
}
