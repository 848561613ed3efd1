//! What a failed call of VBoxManage means, and what to do about it.
//!
//! VirtualBox tells codes of three families: its own (`VBOX_E_…`), its component model's (`NS_ERROR_…`, `E_…`) and its
//! runtime's (`VERR_…`, inside of messages). The codes say more than the words, but one code stands for many things.

use crate::error::{Exit, Explain};

/// As much of what VBoxManage says as is kept.
const WORDS: usize = 600;

/// A call of VBoxManage that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`VBoxManage {verb}` failed: {message}{}", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
pub struct Fault {
    /// The command, without its arguments.
    pub verb: String,
    /// What it means.
    pub meaning: Meaning,
    /// What VBoxManage says.
    pub message: String,
    /// Its code.
    pub code: Option<String>,
}

/// What a failure means for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// No machine, medium or the like of that name.
    NotFound,
    /// There is one already.
    Exists,
    /// Another command, or a machine that is about to end, holds it. Passes.
    Locked,
    /// VirtualBox's service went away under the call, or is starting. Passes.
    Service,
    /// It still has users.
    InUse,
    /// The machine is not running.
    NotRunning,
    /// The machine's state does not allow it.
    State,
    /// Two media with one UUID.
    SameUuid,
    /// The machine's settings cannot be read.
    Inaccessible,
    /// The disk is full.
    Full,
    /// The host has too little memory.
    NoMemory,
    /// A file of VirtualBox's or of the machine's cannot be read or written by this user.
    Denied,
    /// A disk is no disk any more.
    Damaged,
    /// The program that shows or runs such machines is not installed.
    NoProgram,
    /// VirtualBox's own files are not as it wants them.
    Installation,
    /// It takes VirtualBox's Extension Pack.
    NoPack,
    /// The kernel driver is not there.
    NoDriver,
    /// An interface of the host could not be made or used: it, or the network drivers, are not there.
    NoInterface,
    /// Another hypervisor holds the processor's virtualisation.
    Occupied,
    /// The processor's virtualisation is missing or switched off.
    NoVirtualization,
    /// A machine's process ended as soon as it began.
    Ended,
    /// A name that VirtualBox does not know: an option, a kind of guest.
    Unknown,
    /// Anything else.
    Other,
}

/// What in a message, or its code, means what. The first that is found counts.
const SIGNS: &[(&str, Meaning)] = &[
    ("VERR_DISK_FULL", Meaning::Full),
    ("No space left on device", Meaning::Full),
    ("VERR_NO_MEMORY", Meaning::NoMemory),
    ("VERR_NO_LOW_MEMORY", Meaning::NoMemory),
    ("VERR_NO_PAGE_MEMORY", Meaning::NoMemory),
    ("VERR_NO_PHYS_MEMORY", Meaning::NoMemory),
    ("Extension Pack'", Meaning::NoPack),
    ("extension pack is installed", Meaning::NoPack),
    ("REGDB_E_CLASSNOTREG", Meaning::Installation),
    ("NS_ERROR_FACTORY_NOT_REGISTERED", Meaning::Installation),
    ("VERR_SUPLIB_", Meaning::Installation),
    ("VERR_VM_DRIVER_NOT_INSTALLED", Meaning::NoDriver),
    ("VERR_VM_DRIVER_LOAD_ERROR", Meaning::NoDriver),
    ("VERR_VM_DRIVER_OPEN_ERROR", Meaning::NoDriver),
    ("VERR_VM_DRIVER_NOT_ACCESSIBLE", Meaning::NoDriver),
    ("VERR_VM_DRIVER_VERSION_MISMATCH", Meaning::NoDriver),
    ("VERR_SUP_DRIVERLESS", Meaning::NoDriver),
    ("Kernel driver not installed", Meaning::NoDriver),
    ("rc=-1908", Meaning::NoDriver),
    ("Failed to create the host-only adapter", Meaning::NoInterface),
    ("VERR_INTNET_FLT_", Meaning::NoInterface),
    ("Nonexistent host networking interface", Meaning::NoInterface),
    ("VERR_VMX_IN_VMX_ROOT_MODE", Meaning::Occupied),
    ("VERR_SVM_IN_USE", Meaning::Occupied),
    ("disable the KVM kernel extension", Meaning::Occupied),
    ("VERR_VMX_NO_VMX", Meaning::NoVirtualization),
    ("VERR_SVM_NO_SVM", Meaning::NoVirtualization),
    ("VERR_SVM_DISABLED", Meaning::NoVirtualization),
    ("VERR_VMX_MSR_", Meaning::NoVirtualization),
    ("VERR_NEM_NOT_AVAILABLE", Meaning::NoVirtualization),
    ("terminated unexpectedly during startup", Meaning::Ended),
    // Seen where the file of a saved state is gone.
    ("was closed before any attempt to power it on", Meaning::Ended),
    ("Could not launch", Meaning::NoProgram),
    ("Could not get the storage format", Meaning::Damaged),
    ("VERR_VD_", Meaning::Damaged),
    ("is not currently running", Meaning::NotRunning),
    ("is already locked", Meaning::Locked),
    ("while it is locked", Meaning::Locked),
    ("is being locked or unlocked", Meaning::Locked),
    ("is locked for writing", Meaning::Locked),
    // It is being started or ended: until its process has it, or is gone, nobody else may look at what runs.
    ("has tried to lock the machine", Meaning::Locked),
    ("from the direct session", Meaning::Locked),
    ("The object is not ready", Meaning::Service),
    ("The object functionality is limited", Meaning::Inaccessible),
    ("Failed to create the VirtualBox object", Meaning::Service),
    ("Failed to create a session object", Meaning::Service),
    ("NS_ERROR_SOCKET_FAIL", Meaning::Service),
    ("NS_ERROR_CALL_FAILED", Meaning::Service),
    ("NS_ERROR_ABORT", Meaning::Service),
    ("0x800706be", Meaning::Service),
    ("0x800706ba", Meaning::Service),
    // A disk that others rest on is read as long as they run.
    ("is locked for reading", Meaning::InUse),
    // The file of a disk that VirtualBox has forgotten together with what it rests on.
    ("is not found in the media registry", Meaning::NotFound),
    ("because a hard disk", Meaning::SameUuid),
    ("already exists", Meaning::Exists),
    ("VERR_ALREADY_EXISTS", Meaning::Exists),
    ("is already attached", Meaning::Exists),
    ("is not accessible", Meaning::Inaccessible),
    ("Unknown or invalid guest OS type", Meaning::Unknown),
    ("nknown option", Meaning::Unknown),
    ("Unknown subcommand", Meaning::Unknown),
    ("Invalid command '", Meaning::Unknown),
    ("Could not find", Meaning::NotFound),
    ("VBOX_E_OBJECT_NOT_FOUND", Meaning::NotFound),
    ("VBOX_E_OBJECT_IN_USE", Meaning::InUse),
    ("VBOX_E_INVALID_VM_STATE", Meaning::State),
    ("VBOX_E_INVALID_SESSION_STATE", Meaning::Locked),
    ("VBOX_E_INVALID_OBJECT_STATE", Meaning::State),
    ("VBOX_E_XML_ERROR", Meaning::Inaccessible),
    ("VBOX_E_NOT_SUPPORTED", Meaning::Unknown),
    ("VERR_ACCESS_DENIED", Meaning::Denied),
    ("VERR_PERMISSION_DENIED", Meaning::Denied),
    ("VERR_WRITE_PROTECT", Meaning::Denied),
    ("E_ACCESSDENIED", Meaning::Denied),
    ("VERR_FILE_NOT_FOUND", Meaning::NotFound),
    ("VERR_PATH_NOT_FOUND", Meaning::NotFound),
];

impl Fault {
    /// Reads what a failed call printed. `None` where that tells of no error.
    pub fn read(verb: &str, stderr: &str) -> Option<Self> {
        let mut said = Vec::new();
        let mut code = None;
        for line in stderr.lines() {
            let Some((_, rest)) = line.split_once("error: ") else { continue };
            if rest.starts_with("Context: ") {
                continue;
            }
            if let Some((name, _)) = named_code(rest) {
                code.get_or_insert(name);
            }
            if !rest.starts_with("Details: ") {
                said.push(printable(rest));
            }
        }
        if said.is_empty() {
            return None;
        }
        let message: String = said.join("; ").chars().take(WORDS).collect();
        // The code is read too, in the words in which the whole is told.
        let all = format!("{message} {}", code.as_deref().unwrap_or_default());
        let meaning = SIGNS.iter().find(|(sign, _)| all.contains(sign)).map_or(Meaning::Other, |(_, meaning)| *meaning);
        Some(Self { verb: verb.into(), meaning, message, code })
    }

    /// A call that failed and said nothing that is known to be an error.
    pub fn silent(verb: &str, status: &str, stderr: &str) -> Self {
        let last = stderr.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let message = if last.is_empty() { format!("it ended with {status}") } else { printable(last) };
        let message = message.chars().take(WORDS).collect();
        Self { verb: verb.into(), meaning: Meaning::Other, message, code: None }
    }

    /// Whether the same call may succeed in a moment.
    pub fn passes(&self) -> bool {
        matches!(self.meaning, Meaning::Locked | Meaning::Service)
    }

    /// Whether nothing follows from it: while a machine comes or goes, VirtualBox fails to tell of it in many ways.
    pub fn is_odd(&self) -> bool {
        matches!(self.meaning, Meaning::Other | Meaning::State)
    }
}

impl Explain for Fault {
    fn exit(&self) -> Exit {
        match self.meaning {
            Meaning::Full | Meaning::Denied => Exit::Io,
            Meaning::Locked => Exit::Locked,
            Meaning::NotRunning | Meaning::State | Meaning::Inaccessible | Meaning::Damaged => Exit::MachineState,
            _ => Exit::Provider,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self.meaning {
            Meaning::NoDriver => {
                "VirtualBox's kernel driver does not run: `sudo /sbin/vboxconfig` (or `sudo dkms autoinstall`), then \
                 `sudo modprobe vboxdrv`; `vbox-rs doctor` tells more"
            }
            Meaning::NoInterface => {
                "VirtualBox's network drivers do not run: `sudo modprobe -a vboxdrv vboxnetadp vboxnetflt`; a private network \
                 with a `name` is one between machines alone and needs no interface of the host"
            }
            Meaning::Occupied => {
                "KVM holds the processor's virtualisation: `sudo modprobe -r kvm_intel kvm_amd kvm`, or start the kernel \
                 with `kvm.enable_virt_at_load=0`"
            }
            Meaning::NoVirtualization => {
                "switch virtualisation (VT-x, AMD-V) on in the firmware's setup, or in the hypervisor around this host"
            }
            Meaning::Locked => {
                "close the VirtualBox window or command that uses the machine, or `vbox-rs halt --force` it"
            }
            Meaning::Service => {
                "VirtualBox's service does not answer: end `VBoxSVC` when no machine runs, and try again"
            }
            Meaning::Exists => {
                "something of an earlier machine is in the way: `vbox-rs destroy` removes what is ours, the VirtualBox \
                 Manager (or `VBoxManage closemedium`) what is not"
            }
            Meaning::SameUuid => {
                "VirtualBox knows another file with the same UUID: `VBoxManage list hdds` shows it, `VBoxManage \
                 closemedium disk FILE` makes VirtualBox forget it"
            }
            Meaning::Inaccessible => "`VBoxManage showvminfo` tells more; `vbox-rs destroy` removes the machine",
            Meaning::NoMemory => "set `memory` lower, or end other machines and programs",
            Meaning::Denied => {
                "look whose the file is: VirtualBox run by another user, or by sudo, leaves files that this one cannot \
                 change"
            }
            Meaning::Damaged => "put the disk back from a copy, or `vbox-rs destroy` the machine",
            Meaning::NoProgram => {
                "VirtualBox's program for that is not installed: a window (`gui = true`) takes the package virtualbox-qt of \
                 most distributions"
            }
            Meaning::Installation => "VirtualBox's own files are damaged, or not root's: install it anew",
            Meaning::NoPack => {
                "install the Extension Pack of this version (`VBoxManage extpack install FILE`), or leave what takes it out \
                 of `customize`"
            }
            Meaning::Full => "free some space on the file system of the machine",
            Meaning::Ended => {
                "`vbox-rs logs --hypervisor` and `vbox-rs doctor` may tell why; `vbox-rs halt --force` gives a saved state up"
            }
            Meaning::NotRunning => "start it with `vbox-rs up`",
            Meaning::Unknown => {
                "this VirtualBox may be too old, or too new, for it; `vbox-rs doctor` shows its version"
            }
            Meaning::NotFound | Meaning::InUse | Meaning::State | Meaning::Other => return None,
        };
        Some(hint.into())
    }
}

/// The first `NAME (0x…)` of a line.
fn named_code(line: &str) -> Option<(String, u32)> {
    let mut rest = line;
    while let Some(at) = rest.find("(0x") {
        let name = rest[..at].trim_end().rsplit(char::is_whitespace).next().unwrap_or_default();
        let number = rest[at + 3..].split(')').next().and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let known = ["VBOX_E_", "NS_ERROR_", "REGDB_E_", "E_"].iter().any(|family| name.starts_with(family));
        if let (true, Some(number)) = (known, number) {
            return Some((name.to_owned(), number));
        }
        rest = &rest[at + 3..];
    }
    None
}

fn printable(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every failing call of the recorded ones: its command, and what it printed on standard error.
    fn recorded() -> Vec<(String, String)> {
        let text = include_str!("recorded/failures.txt");
        let calls = text.split("$ VBoxManage ").filter(|call| !call.trim().is_empty());
        calls.map(|call| call.split_once('\n').unwrap()).map(|(verb, said)| (verb.into(), said.into())).collect()
    }

    /// Seen when `up` was killed in the middle of a start.
    #[test]
    fn a_machine_that_is_being_started_is_asked_again() {
        for said in [
            "An unexpected process (PID=0x00001709) has tried to lock the machine 'x', while only the process started by \
             LaunchVMProcess (PID=0x00001708) is allowed",
            "Failed to get a console object from the direct session (VBOX_E_INVALID_OBJECT_STATE)",
        ] {
            assert!(Fault::read("showvminfo", &format!("VBoxManage: error: {said}\n")).unwrap().passes(), "{said}");
        }
    }

    #[test]
    fn every_recorded_failure_is_understood() {
        let lines = recorded().into_iter().map(|(command, said)| {
            let verb = command.split(' ').next().unwrap();
            let Fault { meaning, message, code, .. } = Fault::read(verb, &said).unwrap();
            format!("{meaning:?} | {} | {message}", code.unwrap_or_default())
        });
        let told = lines.collect::<Vec<_>>().join("\n") + "\n";
        snapbox::assert_data_eq!(
            told,
            snapbox::str![[r#"
Exists | VBOX_E_FILE_ERROR | Machine settings file '/lab/vms/b1/b1.vbox' already exists
Unknown |  | Unknown or invalid guest OS type given.
Exists | NS_ERROR_INVALID_ARG | A NAT rule of this name already exists
Exists | NS_ERROR_INVALID_ARG | A NAT rule for this host port and this host IP already exists
Other | NS_ERROR_INVALID_ARG | Code NS_ERROR_INVALID_ARG (0x80070057) - Invalid argument value (extended info not available)
NotFound | VBOX_E_OBJECT_NOT_FOUND | Could not find a registered machine named 'nosuch'
Exists | VBOX_E_OBJECT_IN_USE | Storage controller named 'SATA' already exists
Exists | VBOX_E_FILE_ERROR | Failed to create medium; Could not create the medium storage unit '/lab/vms/b1/d1.vdi'.; VDI: cannot create image '/lab/vms/b1/d1.vdi' (VERR_ALREADY_EXISTS)
NotFound |  | Cannot open file "raw.img": VERR_FILE_NOT_FOUND
NotFound |  | Could not find a controller named 'NOPE'
NotFound | VBOX_E_FILE_ERROR | Could not find file for the medium '/nonexistent.vdi' (VERR_FILE_NOT_FOUND); Invalid UUID or filename "/nonexistent.vdi"
NotFound | VBOX_E_OBJECT_NOT_FOUND | Could not find a registered machine named 'nosuch'
Exists | VBOX_E_OBJECT_IN_USE | Shared folder named 'vagrant' already exists
NotFound | NS_ERROR_INVALID_ARG | RTPathQueryInfo failed on shared folder path '/nonexistent': VERR_FILE_NOT_FOUND
Exists | VBOX_E_FILE_ERROR | Appliance import failed; Could not create the imported medium '/lab/vms/b2/b1-disk001.vmdk'.; VMDK: could not create new file '/lab/vms/b2/b1-disk001.vmdk' (VERR_ALREADY_EXISTS)
NotFound | VBOX_E_OBJECT_NOT_FOUND | Appliance read failed; Failed to open OVF file '/lab/box/nope.ovf' (VERR_FILE_NOT_FOUND)
Exists | VBOX_E_FILE_ERROR | Machine settings file '/lab/vms/b3/b3.vbox' already exists
Other | NS_ERROR_INVALID_ARG | Linked clone can only be created from a snapshot
NotFound | VBOX_E_OBJECT_NOT_FOUND | Could not find a snapshot named 'nope'
InUse | VBOX_E_OBJECT_IN_USE | Machine delete failed; Cannot close medium '/lab/vms/b2/b1-disk001.vmdk' because it has 1 child media
State | VBOX_E_INVALID_OBJECT_STATE | Snapshot 's1' of the machine 'b3' cannot be deleted, because it is the current snapshot and has one child snapshot
NotFound | VBOX_E_OBJECT_NOT_FOUND | Could not find a registered machine named 'b2'
NoInterface | NS_ERROR_FAILURE | Failed to create the host-only adapter; VBoxNetAdpCtl: Error while adding new interface: failed to open /dev/vboxnetctl: No such file or directory
Unknown |  | Unknown subcommand "hostonlynets".
Unknown |  | Invalid command 'hostonlynet'
State | VBOX_E_INVALID_VM_STATE | Cannot discard the saved state as the machine is not in the Saved or Aborted-Saved state (machine state: Aborted)
Exists | NS_ERROR_INVALID_ARG | A NAT rule for this host port and this host IP already exists
NotFound | NS_ERROR_FAILURE | File not found. (VERR_FILE_NOT_FOUND)
Other |  | RTR3Init: VERR_NO_TRANSLATION
Locked | VBOX_E_INVALID_OBJECT_STATE | The machine 'r1' is already locked by a session (or being locked or unlocked)
Locked | VBOX_E_INVALID_OBJECT_STATE | The machine 'r1' is already locked for a session (or being unlocked)
Exists | NS_ERROR_INVALID_ARG | A NAT rule of this name already exists
Other | NS_ERROR_INVALID_ARG | Code NS_ERROR_INVALID_ARG (0x80070057) - Invalid argument value (extended info not available)
State | VBOX_E_INVALID_VM_STATE | Already paused
State | VBOX_E_INVALID_VM_STATE | Cannot resume the machine as it is not paused (machine state: Running)
Other | VBOX_E_GSTCTL_GUEST_ERROR | Guest Additions are not installed or not ready (yet)
Locked | VBOX_E_INVALID_OBJECT_STATE | The machine 'r1' is already locked for a session (or being unlocked)
Locked | VBOX_E_INVALID_OBJECT_STATE | Cannot unregister the machine 'r1' while it is locked
State | VBOX_E_INVALID_VM_STATE | The machine is not mutable (state is Saved)
Unknown |  | unknown option: --delete-all-SKIPPED
NotRunning |  | Machine 'r1' is not currently running.
NotFound | VBOX_E_OBJECT_NOT_FOUND | Could not find a registered machine named 'nosuchvm'
NotFound | VBOX_E_OBJECT_NOT_FOUND | Could not find a snapshot named 'nope'
Ended | NS_ERROR_FAILURE | The virtual machine 'b1' has terminated unexpectedly during startup with exit code 1 (0x1)
NoProgram | VBOX_E_IPRT_ERROR | Could not launch the VM process for the machine 'r1' (VERR_FILE_NOT_FOUND)
NoDriver | NS_ERROR_FAILURE | Cannot attach to 'HostInterfaceNetworking-eth0' in driverless mode (VERR_SUP_DRIVERLESS)
Ended | NS_ERROR_FAILURE | The VM session was closed before any attempt to power it on
Damaged | NS_ERROR_FAILURE | VDI: invalid pre-header in '/lab/d.vdi' (VERR_VD_VDI_INVALID_HEADER).; VD: error VERR_VD_VDI_INVALID_HEADER opening image file '/lab/d.vdi' (VERR_VD_VDI_INVALID_HEADER).; Failed to open image '/lab/d.vdi' in read-write mode (VERR_VD_VDI_INVALID_HEADER).; AHCI: Failed to attach drive to Port0 (VERR_VD_VDI_INVALID_HEADER)
Damaged | VBOX_E_IPRT_ERROR | Could not get the storage format of the medium '/lab/garbage.vdi' (VERR_NOT_SUPPORTED); Invalid UUID or filename "/lab/garbage.vdi"
Denied | NS_ERROR_FAILURE | Could not create a directory '/sys/kernel/b' to save the settings file (VERR_ACCESS_DENIED)
Other |  | Invalid type 'hostonlynet' specfied for NIC 4
InUse | VBOX_E_OBJECT_IN_USE | Medium '/lab/d.vdi' cannot be closed because it is still attached to 1 virtual machines

"#]]
        );
    }

    #[test]
    fn a_failure_names_command_reason_and_code_and_what_to_do() {
        let said = "VBoxManage: error: Driverless mode (VERR_SUP_DRIVERLESS)\nVBoxManage: error: Details: code \
                    NS_ERROR_FAILURE (0x80004005), component ConsoleWrap, interface IConsole\n";
        let fault = Fault::read("startvm", said).unwrap();
        assert_eq!(
            fault.to_string(),
            "`VBoxManage startvm` failed: Driverless mode (VERR_SUP_DRIVERLESS) (NS_ERROR_FAILURE)"
        );
        assert!(fault.hint().unwrap().contains("modprobe vboxdrv"));
        assert_eq!(fault.exit(), Exit::Provider);
    }

    /// What takes other hosts, in the words of VirtualBox's users: each family of codes has its errors, and each its hint.
    #[test]
    fn what_other_hosts_meet_is_understood_by_its_code() {
        for (said, meaning, exit, hint) in [
            (
                "VT-x is being used by another hypervisor (VERR_VMX_IN_VMX_ROOT_MODE)",
                Meaning::Occupied,
                8,
                "enable_virt",
            ),
            ("AMD-V is disabled in the BIOS (VERR_SVM_DISABLED)", Meaning::NoVirtualization, 8, "firmware"),
            (
                "The VM process could not load the driver (VERR_VM_DRIVER_NOT_INSTALLED)",
                Meaning::NoDriver,
                8,
                "modprobe",
            ),
            ("Failed to attach the network LUN (VERR_INTNET_FLT_IF_NOT_FOUND)", Meaning::NoInterface, 8, "vboxnetflt"),
            ("Out of memory condition (VERR_NO_LOW_MEMORY)", Meaning::NoMemory, 8, "`memory` lower"),
            (
                "install the 'Oracle VM VirtualBox Extension Pack' (VERR_NOT_FOUND)",
                Meaning::NoPack,
                8,
                "extpack install",
            ),
            ("Could not write (VERR_DISK_FULL)", Meaning::Full, 16, "space"),
            ("Nothing to tell; code VBOX_E_INVALID_SESSION_STATE (0x80bb000b)", Meaning::Locked, 9, "close the"),
            ("Nothing to tell; code VBOX_E_XML_ERROR (0x80bb000a)", Meaning::Inaccessible, 7, "showvminfo"),
            ("Nothing to tell; code E_ACCESSDENIED (0x80070005)", Meaning::Denied, 16, "sudo"),
            ("Class not registered; code REGDB_E_CLASSNOTREG (0x80040154)", Meaning::Installation, 8, "anew"),
            ("code NS_ERROR_CALL_FAILED (0x800706be)", Meaning::Service, 8, "VBoxSVC"),
        ] {
            let fault = Fault::read("startvm", &format!("VBoxManage: error: {said}\n")).unwrap();
            assert_eq!((fault.meaning, fault.exit().code()), (meaning, exit), "{said}");
            assert!(fault.hint().unwrap().contains(hint), "{said}: {:?}", fault.hint());
        }
    }

    #[test]
    fn progress_is_no_error_and_silence_has_a_word() {
        assert_eq!(Fault::read("startvm", "0%...10%...100%\nWaiting\n"), None);
        assert_eq!(Fault::silent("x", "signal: 9", "").to_string(), "`VBoxManage x` failed: it ended with signal: 9");
        assert_eq!(Fault::silent("x", "exit status: 1", "0%...\noops\n").message, "oops");
    }

    proptest! {
        #[test]
        fn any_words_are_read_without_harm(text in "\\PC*|(error: |[(]0x|[)]|VBOX_E_|[ \na-f0-9]){0,40}") {
            if let Some(fault) = Fault::read("x", &text) {
                prop_assert!(fault.message.chars().count() <= WORDS);
                fault.hint();
            }
        }
    }
}
