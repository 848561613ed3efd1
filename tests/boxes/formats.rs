//! Boxes of every hypervisor, images of every format, packed in every way: told by content, and refused with the reason.

use std::fs;

use vbox_rs::boxes::{AddRequest, DiskBus, Firmware, Limits, Nic, Query};
use vbox_rs::error::{Exit, Explain};

use crate::archives::{Zipped, bz2, content, image, ovf, qemu_img, xz, zip, zst};
use crate::images::{LIBVIRT, gz, qcow2, tar};
use crate::world::{Home, request, sha256, told};

const VIRTUALBOX: &[u8] = br#"{"provider":"virtualbox"}"#;
const VMWARE: &[u8] = br#"{"provider":"vmware_desktop"}"#;

const VMX: &str = "config.version = \"8\"\nvirtualHW.version = \"14\"\nmemsize = \"512\"\nfirmware = \"efi\"\n\
    guestOS = \"ubuntu-64\"\nethernet0.virtualDev = \"vmxnet3\"\nscsi0:0.present = \"TRUE\"\n";

fn vmx(disk: &str) -> String {
    format!("{VMX}scsi0:0.fileName = \"{disk}\"\n")
}

/// Streams as VirtualBox and VMware export them.
const STREAM: &str = "subformat=streamOptimized";

#[test]
fn a_box_is_the_same_however_it_is_packed() {
    let disk = qcow2(2 << 20);
    let files: [(&str, &[u8]); 3] = [("metadata.json", LIBVIRT), ("Vagrantfile", b"# x"), ("box.img", &disk)];
    let archive = tar(&files);
    let packed = [
        ("tar", archive.clone()),
        ("tar.gz", gz(&archive)),
        ("tar.xz", xz(&archive)),
        ("tar.zst", zst(&archive)),
        ("tar.bz2", bz2(&archive)),
        ("zip, stored", zip(Zipped::Stored, &files)),
        ("zip, deflated", zip(Zipped::Deflated, &files)),
        ("zip, from a pipe", zip(Zipped::Streamed, &files)),
    ];
    for (how, bytes) in packed {
        let home = Home::new();
        let manifest = home.add_file("some.thing", &bytes).unwrap_or_else(|e| panic!("{how}: {}", told(e).0)).manifest;
        assert_eq!((manifest.disks[0].sha256.as_str(), manifest.bare), (sha256(&disk).as_str(), false), "{how}");
        assert_eq!(home.files().len(), 3, "{how}: disk, what is beside the machine, record");
    }
}

#[test]
fn a_bare_image_of_any_format_is_taken_plain_or_packed() {
    let disk = content(4 << 20);
    let formats = [
        ("vmdk", "subformat=monolithicSparse"),
        ("vmdk", STREAM),
        ("vdi", ""),
        ("vpc", "subformat=dynamic,force_size=on"),
        ("vpc", "subformat=fixed,force_size=on"),
        ("vhdx", ""),
        ("qcow2", ""),
        ("raw", ""),
    ];
    for (index, (format, options)) in formats.into_iter().enumerate() {
        let Some(bytes) = image(&disk, format, options) else { return };
        let pack = [gz, xz, zst, bz2][index % 4];
        let inside: [(&str, &[u8]); 2] = [("disk.raw", &bytes), ("README.txt", b"hello")];
        for packed in [bytes.clone(), pack(&bytes), pack(&tar(&inside))] {
            let home = Home::new();
            let installed = home.add_file("image.bin", &packed).unwrap_or_else(|e| panic!("{format}: {}", told(e).0));
            let stored = &installed.manifest.disks[0];
            assert_eq!((stored.format.as_str(), stored.virtual_size), (format, 4 << 20), "{format} {options}");
            assert!(installed.manifest.bare && installed.manifest.provider == "qemu");
            assert_eq!(fs::read(&installed.disk_paths()[0]).unwrap(), bytes, "{format} {options}");
            assert_eq!(home.files().len(), 2, "{format} {options}");
        }
    }
}

#[test]
fn a_box_of_virtualbox_brings_its_disks_in_order_and_its_machine() {
    let (Some(first), Some(second)) =
        (image(&content(8 << 20), "vmdk", STREAM), image(&content(4 << 20), "vmdk", STREAM))
    else {
        return;
    };
    let text = ovf(&["box-disk001.vmdk", "my%20disk.vmdk"]);
    let vagrantfile = b"Vagrant.configure('2') do |config|\n  config.vm.base_mac = \"080027A1B2C3\"\n  \
        config.vm.provider :virtualbox do |vb|\n    vb.memory = 768\n  end\nend\n";
    let mut files: Vec<(&str, &[u8])> = vec![
        ("./metadata.json", VIRTUALBOX),
        ("./Vagrantfile", vagrantfile),
        ("./box.ovf", text.as_bytes()),
        ("./my disk.vmdk", &second),
        ("./box-disk001.vmdk", &first),
    ];
    for _ in 0..2 {
        let home = Home::new();
        let installed = home.add_file("x.box", &gz(&tar(&files))).unwrap();
        let sizes: Vec<_> = installed.manifest.disks.iter().map(|disk| disk.virtual_size).collect();
        assert_eq!(sizes, [8 << 20, 4 << 20]);
        assert_eq!(installed.disk_paths()[1].extension().unwrap(), "vmdk");
        let hardware = &installed.manifest.hardware;
        assert_eq!((hardware.cpus, hardware.memory), (Some(2), Some(768)), "the Vagrantfile goes before the OVF");
        assert_eq!((hardware.disk_bus, hardware.nic), (Some(DiskBus::Sata), Some(Nic::E1000)));
        assert_eq!(hardware.mac.as_deref(), Some("08:00:27:a1:b2:c3"));
        assert_eq!(hardware.guest_os.as_deref(), Some("Debian_64"));
        assert_eq!(installed.manifest.provider, "virtualbox");
        // The order of the files in the archive changes nothing.
        files.reverse();
    }
    // The same without metadata is an appliance.
    let appliance = tar(&[("box.ovf", text.as_bytes()), ("box-disk001.vmdk", &first), ("my disk.vmdk", &second)]);
    let home = Home::new();
    let manifest = home.add_file("x.ova", &appliance).unwrap().manifest;
    assert_eq!((manifest.bare, manifest.disks.len(), manifest.hardware.memory), (true, 2, Some(1024)));
}

#[test]
fn a_boxs_own_vagrantfile_is_run_and_sees_nothing_of_this_computer() {
    let vagrantfile = b"Vagrant.configure('2') do |config|\n  config.vm.synced_folder '.', '/vagrant', disabled: true\n  \
        config.ssh.username = Dir.glob('/*').empty? && ENV.to_h.empty? ? 'blind' : 'seeing'\n  config.vm.boot_timeout = 5 * 120\nend\n\
        load '/etc/passwd' if File.exist?('/etc/passwd')\n";
    let included = b"Vagrant.configure('2') { |config| config.vm.provider('libvirt') { |lv| lv.memory = 2 * 256 } }\n";
    let disk = qcow2(2 << 20);
    let files: [(&str, &[u8]); 4] = [
        ("metadata.json", LIBVIRT),
        ("Vagrantfile", vagrantfile),
        ("include/_Vagrantfile", included),
        ("box.img", &disk),
    ];
    let manifest = Home::new().add_file("x.box", &tar(&files)).unwrap().manifest;
    assert_eq!(manifest.user.as_deref(), Some("blind"));
    let settings = &manifest.hardware.settings;
    assert_eq!(
        (manifest.hardware.memory, settings.boot_timeout, settings.without_folder),
        (Some(512), Some(600), true)
    );
}

#[test]
fn a_box_of_vmware_may_have_its_disk_in_pieces() {
    let disk = content(8 << 20);
    for options in ["subformat=twoGbMaxExtentSparse", "subformat=monolithicFlat", "subformat=monolithicSparse"] {
        let dir = tempfile::tempdir().unwrap();
        if !qemu_img(dir.path(), &disk, "vmdk", options, "disk.vmdk") {
            return;
        }
        let mut files = vec![("metadata.json".to_owned(), VMWARE.to_vec()), ("m.vmx".into(), vmx("disk.vmdk").into())];
        for entry in fs::read_dir(dir.path()).unwrap() {
            let entry = entry.unwrap();
            files.push((entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()));
        }
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
        let home = Home::new();
        let installed =
            home.add_file("x.box", &zip(Zipped::Deflated, &files)).unwrap_or_else(|e| panic!("{}", told(e).0));
        let manifest = &installed.manifest;
        let format = if options.ends_with("monolithicSparse") { "vmdk" } else { "qcow2" };
        assert_eq!((manifest.disks[0].format.as_str(), manifest.disks[0].virtual_size), (format, 8 << 20), "{options}");
        assert_eq!(manifest.hardware.firmware, Some(Firmware::Uefi));
        assert_eq!((manifest.hardware.disk_bus, manifest.hardware.nic), (Some(DiskBus::Scsi), Some(Nic::Vmxnet3)));
        assert_eq!(home.files().len(), 2, "{:?}", home.files());
        let raw = crate::conversion::raw(&installed.disk_paths()[0], format);
        assert_eq!(sha256(&raw), sha256(&disk), "{options}");
    }
}

#[test]
fn boxes_of_hyper_v_and_of_libvirt_with_several_disks_are_taken() {
    let Some(vhdx) = image(&content(8 << 20), "vhdx", "") else { return };
    let files: [(&str, &[u8]); 3] = [
        ("metadata.json", br#"{"provider":"hyperv"}"#),
        ("Virtual Machines\\A.vmcx", b"\x01\x02 secret"),
        ("Virtual Hard Disks\\disk.vhdx", &vhdx),
    ];
    let home = Home::new();
    let manifest = home.add_file("x.box", &zip(Zipped::Stored, &files)).unwrap().manifest;
    assert_eq!((manifest.disks[0].format.as_str(), manifest.provider.as_str()), ("vhdx", "hyperv"));

    let metadata = br#"{"provider":"libvirt","disks":[{"path":"b.img"},{"path":"d/a.img"}]}"#;
    let (first, second) = (qcow2(5000), qcow2(6000));
    let bytes = gz(&tar(&[("d/a.img", &second), ("metadata.json", metadata), ("b.img", &first)]));
    let home = Home::new();
    let disks = home.add_file("x.box", &bytes).unwrap().manifest.disks;
    assert_eq!(disks.iter().map(|disk| disk.size).collect::<Vec<_>>(), [5000, 6000]);
}

#[test]
fn of_two_boxes_of_one_version_the_one_that_needs_no_conversion_is_taken() {
    let Some(vmdk) = image(&content(1 << 20), "vmdk", STREAM) else { return };
    let home = Home::new();
    let text = ovf(&["d.vmdk"]);
    let foreign = tar(&[("metadata.json", VIRTUALBOX), ("box.ovf", text.as_bytes()), ("d.vmdk", &vmdk)]);
    let native = tar(&[("metadata.json", LIBVIRT), ("box.img", &qcow2(1000))]);
    for (file, bytes) in [("a.box", foreign), ("b.box", native)] {
        let file = home.write(file, &bytes);
        home.add(&AddRequest { name: Some("a/b".into()), ..request(&file) }).unwrap();
    }
    let find = |provider| {
        let query = Query { name: "a/b", provider, ..Query::default() };
        home.library.find(&query).unwrap().unwrap().manifest.provider
    };
    assert_eq!(find(None), "libvirt");
    assert_eq!(find(Some("virtualbox")), "virtualbox");
}

/// What is refused, and the words that say why.
fn bad() -> Option<Vec<(Vec<u8>, &'static str)>> {
    let vmdk = image(&content(8 << 20), "vmdk", "subformat=monolithicSparse")?;
    let vhdx = image(&content(8 << 20), "vhdx", "")?;
    let vdi = image(&content(8 << 20), "vdi", "")?;
    let with_ovf = |text: &str, disk: &[u8]| {
        gz(&tar(&[("metadata.json", VIRTUALBOX), ("box.ovf", text.as_bytes()), ("d.vmdk", disk)]))
    };
    let with_vmx = |text: &str| gz(&tar(&[("metadata.json", VMWARE), ("m.vmx", text.as_bytes()), ("d.vmdk", &vmdk)]));
    let good = ovf(&["d.vmdk"]);
    let entity = good.replace("?>\n<Env", "?>\n<!DOCTYPE e [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n<Env");
    let patched = |image: &[u8], at: usize, bytes: &[u8]| {
        let mut image = image.to_vec();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        image
    };
    let described = |line: &str| {
        let text = format!("# Disk DescriptorFile\n{line}\n");
        patched(&vmdk, 512, &[text.as_bytes(), &vec![0; 10_000 - text.len()]].concat())
    };
    let flat = "# Disk DescriptorFile\nRW 16384 FLAT \"/etc/shadow\" 0\n";
    let pieces = |text: &str| {
        let text = text.as_bytes();
        gz(&tar(&[("metadata.json", VMWARE), ("m.vmx", vmx("d.vmdk").as_bytes()), ("d.vmdk", text), ("short", b"x")]))
    };
    let both_headers = patched(&patched(&vhdx, (64 << 10) + 100, &[1]), (128 << 10) + 100, &[1]);
    Some(vec![
        (with_ovf(&entity, &vmdk), "document type"),
        (with_ovf(&ovf(&["e.vmdk"]), &vmdk), "does not hold `e.vmdk`, which its box.ovf names"),
        (with_ovf(&ovf(&["../../d.vmdk"]), &vmdk), "leads out"),
        (with_ovf(&ovf(&["%2e%2e/d.vmdk"]), &vmdk), "leads out"),
        (with_ovf(&ovf(&["/etc/shadow"]), &vmdk), "absolute path"),
        (with_ovf(&ovf(&["http://x.example/d.vmdk"]), &vmdk), "lies outside"),
        (with_ovf("<Envelope >", &vmdk), "`box.ovf` is refused"),
        (with_ovf(&good, &described("RW 16384 FLAT \"/etc/shadow\" 0")), "in another file, `/etc/shadow`"),
        (with_ovf(&good, &described("parentFileNameHint=\"/x.vmdk\"")), "its parent"),
        (with_ovf(&good, &patched(&vmdk, 12, &[0; 8])), "virtual size is 0"),
        (with_ovf(&good, b"just a text"), "not a disk image"),
        (gz(&tar(&[("metadata.json", VIRTUALBOX), ("d.vmdk", &vmdk)])), "made for virtualbox, but holds no OVF"),
        (gz(&tar(&[("metadata.json", VMWARE), ("d.vmdk", &vmdk)])), "but holds no VMX"),
        (gz(&tar(&[("metadata.json", br#"{"provider":"hyperv"}"#), ("a", b"x")])), "0 disks"),
        (with_vmx(&vmx("/vm/d.vmdk")), "absolute path"),
        (with_vmx(&vmx("..\\d.vmdk")), "leads out"),
        (with_vmx(&vmx("e.vmdk")), "which its m.vmx names"),
        (with_vmx(&format!("{VMX}nonsense\n")), "`m.vmx` is refused"),
        (pieces(flat), "absolute path"),
        (pieces("# Disk DescriptorFile\nRW 16384 FLAT \"none\" 0\n"), "does not hold `none`"),
        (pieces("# Disk DescriptorFile\nRW 16384 FLAT \"short\" 0\n"), "cut off"),
        (pieces("# Disk DescriptorFile\nRW 16384 SPARSE \"short\"\n"), "cut off"),
        (pieces("# Disk DescriptorFile\nRW 99999999999999999 ZERO\n"), "virtual size"),
        (flat.into(), "a VMDK descriptor"),
        (both_headers, "both of its headers"),
        (vhdx[..1 << 20].to_vec(), "cut off"),
        (patched(&vdi, 76, &4u32.to_le_bytes()), "its parent"),
        (patched(&vdi, 368, &[0xff; 8]), "virtual size"),
        (vdi[..2 << 20].to_vec(), "cut off"),
        (xz(&vmdk)[..10_000].to_vec(), "cut off"),
        (gz(&xz(&vmdk)), "compressed twice"),
    ])
}

#[test]
fn a_bad_box_of_another_hypervisor_is_refused_with_the_reason_and_leaves_nothing() {
    for (bytes, why) in bad().unwrap_or_default() {
        Home::new().refuses("x.box", &bytes, why);
    }
}

#[test]
fn a_bad_zip_archive_is_refused_with_the_reason_and_leaves_nothing() {
    let disk = qcow2(70_000);
    let files: [(&str, &[u8]); 2] = [("metadata.json", LIBVIRT), ("box.img", &disk)];
    let good = zip(Zipped::Deflated, &files);
    let patched = |at: usize, bytes: &[u8]| {
        let mut archive = good.clone();
        archive[at..at + bytes.len()].copy_from_slice(bytes);
        archive
    };
    let named = |name: &str| zip(Zipped::Deflated, &[("metadata.json", LIBVIRT), (name, b"x")]);
    let list_of = |archive: &[u8]| archive.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    let list = list_of(&good);
    let one = zip(Zipped::Deflated, &files[..1]);
    let short_list = [&good[..list], &one[list_of(&one)..]].concat();
    for (bytes, why) in [
        (named("../x"), "leads out of the box's folder"),
        (named("a/..\\..\\x"), "leads out of the box's folder"),
        (named("/etc/passwd"), "absolute path"),
        (named("\\\\server\\x"), "absolute path"),
        (named("metadata.json"), "holds `metadata.json` twice"),
        (zip(Zipped::StoredStreamed, &files), "stored without its length"),
        (patched(6, &[1]), "it is encrypted"),
        (patched(8, &[9]), "other than deflate"),
        (patched(14, &[1, 2, 3, 4]), "checksum is wrong"),
        (good[..list].to_vec(), "cut off"),
        (good[..good.len() - 5].to_vec(), "cut off"),
        (short_list, "its list"),
        ([good.as_slice(), b"more"].concat(), "data behind its end"),
        (zip(Zipped::Stored, &[]), "it is empty"),
    ] {
        Home::new().refuses("x.box", &bytes, why);
    }
}

#[test]
fn bombs_are_stopped_by_what_is_claimed_or_accepted() {
    let home = Home::new();
    let limits = Limits { total: 4 << 20, ..Limits::default() };
    let zeros = vec![0; 64 << 20];
    // The disk in the image is 1 MiB, whatever else is in its file.
    let small = [&qcow2(1000)[..24], &(1u64 << 20).to_be_bytes(), &qcow2(1000)[32..], &vec![0; 80 << 20]].concat();
    for (bytes, limits, why) in [
        (
            zip(Zipped::Deflated, &[("metadata.json", LIBVIRT), ("junk", &zeros)]),
            limits.clone(),
            "4194304 are accepted",
        ),
        (zip(Zipped::Streamed, &[("metadata.json", LIBVIRT), ("box.img", &zeros)]), limits.clone(), "not a disk image"),
        (zip(Zipped::Streamed, &[("junk", &zeros), ("metadata.json", LIBVIRT)]), limits.clone(), "are accepted"),
        (xz(&tar(&[("junk", &zeros)])), limits, "4194304 are accepted"),
        (zst(&small), Limits::default(), "are accepted"),
        (bz2(&small), Limits::default(), "are accepted"),
        (zip(Zipped::Streamed, &[("metadata.json", LIBVIRT), ("box.img", &small)]), Limits::default(), "are accepted"),
    ] {
        let file = home.write("x.box", &bytes);
        let Err(error) = home.add(&AddRequest { limits, ..request(&file) }) else { panic!("{why}: it was taken") };
        let message = told(error).0;
        assert!(message.contains(why), "{why}: {message}");
        home.assert_empty(why);
    }
}

#[test]
fn names_that_only_look_like_others_are_names_like_any_other() {
    let home = Home::new();
    let disk = qcow2(1000);
    // A Cyrillic letter; dots and slashes of other alphabets.
    let odd = tar(&[
        ("met\u{430}data.json", b"{\"provider\":\"x\"}"),
        ("\u{2024}\u{2024}\u{2215}\u{ff0f}etc\u{2044}passwd", b"x"),
        ("metadata.json", LIBVIRT),
        ("box.img", &disk),
    ]);
    home.add_file("x.box", &odd).unwrap();
    assert_eq!(home.files().len(), 2, "{:?}", home.files());
}

/// QEMU opens such an image, and the guest finds zeros where its files were.
#[test]
fn an_image_that_was_cut_off_is_refused_with_what_is_missing() {
    let Some(bytes) = image(&content(8 << 20), "qcow2", "") else { return };
    let cut = &bytes[..bytes.len() - (1 << 20)];
    let packed = gz(&tar(&[("metadata.json", LIBVIRT), ("box.img", cut)]));
    for (name, bytes, disk) in [("debian.qcow2", cut, "debian.qcow2"), ("x.box", &packed, "box.img")] {
        let home = Home::new();
        let error = home.add_file(name, bytes).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("fetch it again")), "{error}");
        let (message, exit) = told(error);
        let why = format!(
            "its disk image `{disk}` is refused: it is a qcow2 image that is cut off: a part of its content ends"
        );
        assert!(message.contains(&why) && message.ends_with(&format!("its file has {} bytes", cut.len())), "{message}");
        assert_eq!(exit, Exit::BoxRefused);
        home.assert_empty(name);
    }
}

/// Found by the fuzzer: it made the decompressor abort the whole program.
#[test]
fn damaged_bzip2_data_is_refused() {
    let home = Home::new();
    let (message, code) = told(home.add_file("x.bz2", include_bytes!("../data/damaged.bz2")).unwrap_err());
    assert_eq!(code, Exit::BoxRefused, "{message}");
    home.assert_empty("damaged.bz2");
}
