//! VirtualBox's surroundings: settings and a service of its own for each test.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use vbox_rs::config::spec::ProviderKind;
use vbox_rs::provider::{Image, PlannedDisk, Vm, VmPlan};
use vbox_rs::store::MachineId;

use crate::again;
use crate::host::{Host, INSIDE};
use crate::vboxes;

/// The tool that `VBOX_RS_TEST_VIRTUALBOX` names, in surroundings that this value made or (`None`) was started in.
pub struct Virtualbox {
    tool: PathBuf,
    own: Option<tempfile::TempDir>,
}

impl Virtualbox {
    /// Variables by which the tool finds what `ready` made.
    fn surroundings(&self) -> Option<[(&'static str, OsString); 3]> {
        let own = self.own.as_ref()?.path();
        let socket = own.file_name().unwrap().to_owned();
        Some([
            ("VBOX_INSTALL_PATH", self.tool.clone().into()),
            ("VBOX_USER_HOME", own.into()),
            ("VBOX_IPC_SOCKETID", socket),
        ])
    }

    fn manage(&self, args: &[&str]) -> String {
        let mut command = Command::new(self.tool.join("VBoxManage"));
        command
            .args(args)
            .envs(self.surroundings().into_iter().flatten())
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "VBoxManage {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Host for Virtualbox {
    fn ready() -> Result<Self, String> {
        let tool = std::env::var_os("VBOX_RS_TEST_VIRTUALBOX")
            .map(PathBuf::from)
            .ok_or("VBOX_RS_TEST_VIRTUALBOX names no VirtualBox (scripts/virtualbox/setup.sh DIR gets one)")?;
        let tool = tool.join("bin");
        if std::env::var_os(INSIDE).is_some() {
            return Ok(Self { tool, own: None });
        }
        let host = Self { tool, own: Some(tempfile::tempdir().unwrap()) };
        // Without the kernel's driver, machines run in the interpreter.
        host.manage(&["setextradata", "global", "VBoxInternal/HM/FallbackToIEM", "1"]);
        Ok(host)
    }

    fn kind(&self) -> ProviderKind {
        ProviderKind::Virtualbox
    }

    fn adjust(&self, _plan: &mut VmPlan) {}

    fn backing(&self, raw: PathBuf) -> PlannedDisk {
        let vdi = raw.with_extension("vdi");
        let mut convert = Command::new("qemu-img");
        convert.args(["convert", "-f", "raw", "-O", "vdi"]).args([&raw, &vdi]);
        assert!(convert.status().unwrap().success());
        PlannedDisk::overlay(vdi, "vdi")
    }

    fn inside(&self) -> Option<Command> {
        let mut command = Command::new(again::program());
        command.envs(self.surroundings()?);
        Some(command)
    }

    /// The tool tells where they are: the provider itself would copy them.
    fn disks(&self, vm: &dyn Vm) -> Vec<Image> {
        let dir = vm.console_log().parent().unwrap().to_owned();
        let listed = self.manage(&["list", "hdds"]);
        let disk = |block: &str| {
            let field = |name: &str| Some(block.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned());
            let path = PathBuf::from(field("Location:")?);
            let virtual_size = field("Capacity:")?.strip_suffix(" MBytes")?.parse::<u64>().ok()? << 20;
            Some(Image { path, format: "vdi".into(), virtual_size })
        };
        listed.split("\n\n").filter_map(disk).filter(|disk| disk.path.starts_with(&dir)).collect()
    }

    /// Its service goes on with what a killed call asked of it.
    fn acts_later(&self) -> bool {
        true
    }

    fn remembered(&self, id: MachineId) -> Vec<String> {
        let lists = self.manage(&["list", "vms"]) + &self.manage(&["list", "hdds"]);
        let of_it = |line: &&str| line.contains(&id.uuid()) || line.contains(&id.to_string());
        lists.lines().filter(of_it).map(str::to_owned).collect()
    }
}

impl Drop for Virtualbox {
    /// What a failed test leaves running is ended, and the service, which would stay for some seconds.
    fn drop(&mut self) {
        let Some(own) = &self.own else { return };
        while !vboxes::processes(own.path(), "VBox").is_empty() {
            vboxes::kill(own.path(), "VBox");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let socket = own.path().file_name().unwrap().to_str().unwrap();
        drop(fs::remove_dir_all(format!("/tmp/.vbox-{socket}-ipc")));
    }
}
