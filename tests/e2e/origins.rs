//! Where boxes come from: a catalogue's name that leads to its publisher's signed image, and a box made for VirtualBox.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::fault_server::{Reply, Server};
use crate::world::{World, demo_box};

/// A publisher on this host: an image, its signed checksums, and the user's own entry of the catalogue.
struct Publisher {
    server: Server,
    fingerprint: String,
    sha256: String,
    size: u64,
}

impl Publisher {
    /// Nothing where there is no gpg: the rest of signatures is tested without machines.
    fn of(world: &World, image: &Path) -> Option<Self> {
        let ring = world.folder("gnupg");
        let name = "Acme image signing <images@example.org>";
        let made = gpg(&ring, &["--quick-generate-key", name, "ed25519", "sign", "never"])?;
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let listed = gpg(&ring, &["--with-colons", "--list-keys"])?;
        let listed = String::from_utf8(listed.stdout).unwrap();
        let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap().replace(':', "");
        let keys = world.home().join("config/keys");
        fs::create_dir_all(&keys).unwrap();
        fs::write(keys.join("acme.asc"), gpg(&ring, &["--armor", "--export"])?.stdout).unwrap();

        let summed = Command::new("sha256sum").arg(image).output().unwrap();
        let sha256 = String::from_utf8(summed.stdout).unwrap()[..64].to_owned();
        let sums = ring.join("SHA256SUMS");
        fs::write(&sums, format!("{sha256} *acme-12.qcow2\n")).unwrap();
        let signed = gpg(&ring, &["--armor", "--output", "-", "--detach-sign", sums.to_str().unwrap()])?.stdout;
        drop(Command::new("gpgconf").env("GNUPGHOME", &ring).args(["--kill", "all"]).status());
        let (sums, bytes) = (fs::read(sums).unwrap(), fs::read(image).unwrap());
        let size = bytes.len() as u64;
        let server = Server::start(move |request, _| match request.path.as_str() {
            "/12/acme-12.qcow2" => Reply::file(request, &bytes, "\"acme\""),
            "/12/SHA256SUMS" => Reply::new(200, sums.clone()),
            "/12/SHA256SUMS.gpg" => Reply::new(200, signed.clone()),
            _ => Reply::new(404, ""),
        });
        Some(Self { server, fingerprint, sha256, size })
    }

    fn catalogue(&self, world: &World) {
        let folder = world.home().join("config/catalogue");
        fs::create_dir_all(&folder).unwrap();
        let entry = format!(
            "name = \"acme/linux12\"\ntitle = \"Acme Linux 12\"\npublisher = \"Acme\"\naliases = [\"generic/acme12\"]\n\
             user = \"debian\"\ncloud_init = \"modern\"\nsums = \"SHA256SUMS\"\nsignature = \"{{sums}}.gpg\"\nkeys = \
             [\"{}\"]\n\n[[image]]\narchitecture = \"amd64\"\nversion = \"12.1\"\nurl = \"{}\"\nchecksum = \
             \"sha256:{}\"\n",
            self.fingerprint,
            self.server.url("/12/acme-12.qcow2"),
            self.sha256
        );
        fs::write(folder.join("acme-12.toml"), entry).unwrap();
    }

    fn asked(&self, path: &str) -> usize {
        self.server.requests().iter().filter(|request| request.path == path).count()
    }
}

/// Nothing where there is no gpg.
fn gpg(ring: &Path, args: &[&str]) -> Option<std::process::Output> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(ring, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new("gpg");
    command.env("GNUPGHOME", ring).args(["--batch", "--pinentry-mode", "loopback", "--passphrase", ""]);
    command.args(args).stdin(Stdio::null()).output().ok()
}

/// What a folder takes on the disk; files with several names count once.
fn taken(folder: &Path) -> u64 {
    let du = Command::new("du").args(["-s", "--block-size=1"]).arg(folder).output().unwrap();
    String::from_utf8(du.stdout).unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

const FILE: &str = "memory = \"1 GiB\"\nboot_timeout = 600\n[[synced_folder]]\nguest = \"/vagrant\"\ndisabled = true\n";

#[test]
fn a_name_of_the_catalogue_leads_to_its_publishers_signed_image_once() {
    let world = World::empty();
    let Some(image) = crate::cloud::cloud_image(&world) else { return };
    let Some(publisher) = Publisher::of(&world, &image) else {
        println!("skipped: there is no gpg to sign with");
        return;
    };
    fs::remove_file(image).unwrap();
    publisher.catalogue(&world);
    world.machine_file(&format!("box = \"generic/acme12\"\n{FILE}"));
    let up = world.run(&["up"]).ok();
    let stands_for = "generic/acme12 stands for acme/linux12: Acme's cloud image, not the roboxes one";
    assert_eq!(up.stderr.matches(stands_for).count(), 1, "{}", up.stderr);
    // The download is told, and that our seed was read.
    for word in ["generic/acme12: ", " MiB in ", "cloud-init took"] {
        assert!(up.stderr.contains(word), "{word}: {}", up.stderr);
    }
    assert_eq!(
        world.run(&["ssh", "-c", "id -un; getent passwd debian | cut -d: -f1"]).ok().stdout,
        "vagrant\ndebian\n"
    );
    let verified = format!("sha256:{}, signed by the publisher's key {}", publisher.sha256, publisher.fingerprint);
    world.run(&["box", "info", "generic/acme12"]).ok().says(&[&verified, &publisher.server.url("/12/acme-12.qcow2")]);

    // The canonical name, in another project: one image, one download, next to nothing more on the disk.
    let boxes = world.home().join("boxes");
    let before = taken(&boxes);
    assert!(before <= publisher.size * 102 / 100, "{before} bytes for an image of {}", publisher.size);
    let second = world.folder("second");
    let file = format!("box = \"acme/linux12\"\n{FILE}");
    // That it boots is known by now.
    fs::write(second.join("Vagrantfile"), file.replace("= 600", "= 1")).unwrap();
    let up = world.run_in(&second, &["up"]).fails(10, &[]);
    assert!(!up.stderr.contains("stands for"), "{}", up.stderr);
    assert_eq!(publisher.asked("/12/acme-12.qcow2"), 1, "{:?}", publisher.server.requests());
    assert!(taken(&boxes) < before + (1 << 20), "{} bytes more", taken(&boxes) - before);

    let listed = world.run(&["box", "list", "--json"]).ok().json();
    let both = listed["boxes"].as_array().unwrap();
    assert_eq!(both.len(), 2, "{listed}");
    assert!(both.iter().all(|one| one["shared_size"].as_u64().unwrap() >= publisher.size * 9 / 10), "{listed}");
    let machine = |folder: &Path| {
        let status = world.run_in(folder, &["status", "--json"]).ok().json();
        status["machines"][0]["id"].as_str().unwrap()[..8].to_owned()
    };
    let ids = [machine(&world.project), machine(&second)];
    world.run(&["box", "remove", "generic/acme12"]).fails(7, &["default", &ids[0]]);
    world.run(&["box", "remove", "acme/linux12"]).fails(7, &["default", &ids[1]]);
    for folder in [&second, &world.project] {
        world.run_in(folder, &["destroy", "-f"]).ok();
    }
    world.assert_nothing_left();
    world.run(&["box", "remove", "generic/acme12"]).ok();
    world.run(&["box", "info", "acme/linux12"]).ok().says(&[&verified]);
}

/// VirtualBox's own words, as `VBoxManage export` writes them.
const OVF: &str = r#"<?xml version="1.0"?>
<Envelope ovf:version="1.0" xml:lang="en-US" xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData" xmlns:vbox="http://www.virtualbox.org/ovf/machine">
  <References>
    <File ovf:id="file1" ovf:href="box-disk001.vmdk"/>
  </References>
  <DiskSection>
    <Info>List of the virtual disks used in the package</Info>
    <Disk ovf:capacity="3221225472" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" vbox:uuid="1e4f0b5a-8a9b-4a3c-9a44-9b6a2b3f7c11"/>
  </DiskSection>
  <NetworkSection>
    <Info>Logical networks used in the package</Info>
    <Network ovf:name="NAT"><Description>Logical network used by this appliance.</Description></Network>
  </NetworkSection>
  <VirtualSystem ovf:id="packer-debian">
    <Info>A virtual machine</Info>
    <OperatingSystemSection ovf:id="96">
      <Info>The kind of installed guest operating system</Info>
      <Description>Debian_64</Description>
      <vbox:OSType ovf:required="false">Debian_64</vbox:OSType>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware requirements for a virtual machine</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>packer-debian</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>virtualbox-2.2</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:Caption>1 virtual CPU</rasd:Caption>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>1</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>MegaBytes</rasd:AllocationUnits>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>512</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Caption>sataController0</rasd:Caption>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>AHCI</rasd:ResourceSubType>
        <rasd:ResourceType>20</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:HostResource>/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>NAT</rasd:Connection>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>E1000</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#;

/// What `vagrant package` adds to each.
const BASE_MAC: &str = "Vagrant::Config.run do |config|\n  # This Vagrantfile is auto-generated by `vagrant package` to \
                        contain\n  # the MAC address of the box.\n  config.vm.base_mac = \"080027AABB0D\"\nend\n";

/// The demo box's disk as VirtualBox would have packed it; without kernel and seed.
fn virtualbox_box(world: &World) -> Option<PathBuf> {
    let folder = world.folder("packing");
    let run = |program: &str, args: &[&str]| Command::new(program).current_dir(&folder).args(args).status();
    assert!(run("tar", &["-xzf", demo_box().to_str().unwrap(), "box.img"]).unwrap().success());
    let convert = ["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "box.img", "box-disk001.vmdk"];
    if run("qemu-img", &convert).is_err() {
        println!("skipped: there is no qemu-img");
        return None;
    }
    fs::write(folder.join("box.ovf"), OVF).unwrap();
    fs::write(folder.join("Vagrantfile"), BASE_MAC).unwrap();
    fs::write(folder.join("metadata.json"), "{\"provider\":\"virtualbox\"}").unwrap();
    let names = ["Vagrantfile", "box-disk001.vmdk", "box.ovf", "metadata.json"].map(|name| format!("./{name}"));
    let mut args = vec!["-cf", "../vb.box"];
    args.extend(names.iter().map(String::as_str));
    assert!(run("tar", &args).unwrap().success());
    fs::remove_dir_all(&folder).unwrap();
    Some(folder.with_file_name("vb.box"))
}

#[test]
fn a_box_made_for_virtualbox_boots_here_and_is_converted_once() {
    let world = World::empty();
    let Some(packed) = virtualbox_box(&world) else { return };
    world.run(&["box", "add", packed.to_str().unwrap(), "--name", "old/project"]).ok();
    fs::remove_file(packed).unwrap();
    world.machine_file(&format!("box = \"old/project\"\n{FILE}").replace("memory = \"1 GiB\"\n", ""));
    let up = world.run(&["up"]).ok();
    assert!(up.stderr.contains("convert"), "{}", up.stderr);
    let line = "cat /sys/class/net/eth0/address; basename $(readlink /sys/class/net/eth0/device/driver); findmnt -no \
                SOURCE /; wc -l <.ssh/authorized_keys; awk '/MemTotal/ { print ($2 < 524288) }' /proc/meminfo";
    assert_eq!(world.run(&["ssh", "-c", line]).ok().stdout, "08:00:27:aa:bb:0d\ne1000\n/dev/sda1\n1\n1\n");

    let second = world.folder("second");
    fs::write(second.join("Vagrantfile"), "box = \"old/project\"\nboot_timeout = 1\n").unwrap();
    let before = taken(&world.home().join("boxes"));
    let up = world.run_in(&second, &["up"]).fails(10, &[]);
    assert!(!up.stderr.contains("convert"), "{}", up.stderr);
    assert!(taken(&world.home().join("boxes")) < before + (1 << 20));
    for folder in [&second, &world.project] {
        world.run_in(folder, &["destroy", "-f"]).ok();
    }
    world.assert_nothing_left();
}
