//! A machine of its own for each test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vbox_rs::config::spec::Protocol;
use vbox_rs::progress::Cx;
use vbox_rs::provider::{Forward, Image, PlannedDisk, Vm, VmPlan, VmState};
use vbox_rs::store::{Dirs, MachineId};

use crate::host::Host;
use crate::vm;
pub use crate::vm::{eventually, free_port, names, open};

/// A machine of its own directory that is destroyed at the end, also when the test fails.
pub struct TestVm<'a> {
    root: tempfile::TempDir,
    host: &'a dyn Host,
    pub dirs: Dirs,
    pub id: MachineId,
    image: PlannedDisk,
    pub vm: Box<dyn Vm>,
}

impl<'a> TestVm<'a> {
    pub fn new(host: &'a dyn Host) -> Self {
        Self::below(host, "")
    }

    /// With its home in this folder of its own.
    pub fn below(host: &'a dyn Host, folder: &str) -> Self {
        Self::with_disk(host, folder, &COUNTER)
    }

    /// With these bytes at the start of its disk.
    pub fn with_disk(host: &'a dyn Host, folder: &str, sector: &[u8]) -> Self {
        let root = tempfile::tempdir().unwrap();
        let dirs = Dirs::below(&root.path().join(folder));
        let raw = root.path().join("image.raw");
        fs::write(&raw, sector).unwrap();
        fs::File::options().write(true).open(&raw).unwrap().set_len(1 << 20).unwrap();
        let (id, image) = (MachineId::random().unwrap(), host.backing(raw));
        let vm = open(host.kind(), &dirs, id);
        Self { root, host, dirs, id, image, vm }
    }

    /// Another machine of the same home and on the same image, for the time of a test that has this one.
    pub fn neighbour(&self) -> (MachineId, Box<dyn Vm>) {
        let id = MachineId::random().unwrap();
        (id, open(self.host.kind(), &self.dirs, id))
    }

    pub fn plan(&self) -> VmPlan {
        let mut plan = vm::plan("test,x/default", self.image.clone());
        self.host.adjust(&mut plan);
        plan
    }

    /// The image that its first disk rests on.
    pub fn image(&self) -> PathBuf {
        self.image.backing.as_ref().unwrap().path.clone()
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.root.path()
    }

    /// The machine's own folder.
    pub fn dir(&self) -> PathBuf {
        self.dirs.machine(self.id)
    }

    pub fn create(&mut self, plan: &VmPlan) {
        self.vm.create(&Cx::silent(), plan).unwrap();
    }

    pub fn start(&mut self, plan: &VmPlan) {
        self.vm.start(&Cx::silent(), plan, &[]).unwrap();
    }

    pub fn up(&mut self) {
        let plan = self.plan();
        self.create(&plan);
        self.start(&plan);
    }

    pub fn state(&mut self) -> VmState {
        // Another `vbox-rs`, later: it knows nothing but the files.
        self.vm = open(self.host.kind(), &self.dirs, self.id);
        self.vm.state().unwrap()
    }

    /// The state once a process that was just started or just restored has got over it.
    pub fn settled(&mut self) -> VmState {
        let mut state = self.state();
        for _ in 0..20 {
            if !matches!(state, VmState::Unresponsive { .. }) {
                break;
            }
            state = self.state();
        }
        // As commands ask: a service may be busy with it.
        if matches!(state, VmState::Paused { .. }) { self.vm.awaited_state(&Cx::silent()).unwrap() } else { state }
    }

    /// Its only disk.
    pub fn disk(&self) -> Image {
        self.host.disks(self.vm.as_ref()).remove(0)
    }

    /// Why it is broken.
    pub fn broken(&mut self) -> String {
        match self.state() {
            VmState::Broken { why } => why,
            other => panic!("it is {other:?}"),
        }
    }

    pub fn processes(&self) -> Vec<u32> {
        self.host.processes(self.id)
    }

    pub fn signal(&self, signal: &str) {
        let processes = self.processes();
        assert!(!processes.is_empty(), "it has no process");
        for pid in processes {
            assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
        }
    }

    pub fn ended(&mut self) {
        assert!(self.vm.wait_until_ended(&Cx::silent(), Duration::from_secs(20)).unwrap());
    }

    /// What the guest has counted so far, on its console's log. The first numbers may be lost while a hypervisor starts.
    pub fn counted(&self) -> Vec<u32> {
        let parts = self.vm.earlier_console_logs().into_iter().chain([self.vm.console_log()]);
        let log: Vec<u8> = parts.flat_map(|part| fs::read(part).unwrap_or_default()).collect();
        let digit = |letter: u8| matches!(letter, b'a'..=b'p').then(|| u32::from(letter - b'a'));
        let number = |line: &str| {
            let digits = line.bytes().map(digit).collect::<Option<Vec<_>>>()?;
            (digits.len() == 4).then(|| digits.iter().fold(0, |number, digit| number * 16 + digit))
        };
        String::from_utf8_lossy(&log).lines().filter_map(|line| number(line.trim())).collect()
    }

    /// Waits until it has counted on, by some numbers.
    pub fn counts(&self) {
        let before = self.counted().len();
        eventually("the guest counts", || self.counted().len() > before + 2);
    }

    /// Nothing is left of a machine that is destroyed.
    pub fn assert_gone(&self, id: MachineId) {
        assert_eq!(names(&self.dirs.machine(id)), [""; 0], "left over");
        assert_eq!(self.host.processes(id), [0; 0]);
        assert_eq!(self.host.remembered(id), [""; 0]);
    }
}

impl Drop for TestVm<'_> {
    fn drop(&mut self) {
        let result = self.vm.destroy(&Cx::silent());
        if !std::thread::panicking() {
            result.unwrap();
            self.assert_gone(self.id);
        }
    }
}

/// A boot sector that counts the timer's ticks on the serial console, four digits a line: `a` is 0, `p` is 15.
///
/// ```text
///         xor bx, bx
///         sti
/// again:  hlt
///         inc bx
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
const COUNTER: [u8; 512] = {
    let code = [
        0x31, 0xdb, 0xfb, 0xf4, 0x43, 0xb9, 0x04, 0x00, 0xc1, 0xc3, 0x04, 0x88, 0xd8, 0x24, 0x0f, 0x04, 0x61, 0xe8,
        0x09, 0x00, 0xe2, 0xf2, 0xb0, 0x0a, 0xe8, 0x02, 0x00, 0xeb, 0xe6, 0x88, 0xc4, 0xba, 0xfd, 0x03, 0xec, 0xa8,
        0x20, 0x74, 0xfb, 0xba, 0xf8, 0x03, 0x88, 0xe0, 0xee, 0xc3,
    ];
    let mut sector = [0; 512];
    let mut i = 0;
    while i < code.len() {
        sector[i] = code[i];
        i += 1;
    }
    // The signature that firmware looks for.
    sector[510] = 0x55;
    sector[511] = 0xaa;
    sector
};

pub fn forward(port: u16) -> Forward {
    vm::forward(Protocol::Tcp, port)
}
