//! `box build`: Debian boxes from Debian's own packages, with no loop device and no mount, and no root where the host
//! allows user namespaces.
//!
//! `mmdebstrap` installs the packages into a tar file, `mke2fs -d` makes a file system of it, and `disk` writes the
//! partition table and GRUB before it. What is in a box is data under `boxes/build/` ([`Recipe`]); its README tells why.

mod disk;
mod error;
mod kernel;
mod mirror;
mod recipe;
mod tools;

pub use error::Error;
pub use recipe::{Profile, Recipe, recipes};
pub use tools::Tool;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::boxes::pack::{Package, Part};
use crate::progress::Cx;
use crate::store::{self, Lock, create_private};
use disk::Layout;
use mirror::Mirror;
use recipe::{DPKG_CONF, IMAGE_SCRIPT, MKE2FS_CONF};
use tools::Workshop;

/// What to build.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// A recipe's name.
    pub recipe: String,
    /// The `.box` to write; replaced when it is there.
    pub output: PathBuf,
    /// A Debian mirror; the host's own, or deb.debian.org, when left out. The box keeps it.
    pub mirror: Option<String>,
    /// A directory for what the build needs meanwhile, about 2 GiB. Builds of one recipe in one directory wait for each
    /// other.
    pub work_dir: PathBuf,
}

/// A box that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The `.box`.
    pub path: PathBuf,
    /// The box's name.
    pub name: String,
    /// Its version: `<release>.<date of the newest package>.0`.
    pub version: String,
    /// Bytes of the `.box`.
    pub size: u64,
    /// SHA-256 of the list of all files in the guest (path, permissions, owner, target of links).
    pub files_sha256: String,
}

/// The recipe of that name.
pub fn recipe(name: &str) -> Result<&'static Recipe, Error> {
    recipes().iter().find(|recipe| recipe.name == name).ok_or_else(|| Error::NoRecipe { name: name.into() })
}

/// Builds a box. After a failure, or `kill -9`, nothing is left at `output` but what was there before; the next build
/// clears the rest away.
pub fn build(cx: &Cx, request: &BuildRequest) -> Result<Built, Error> {
    let recipe = recipe(&request.recipe)?;
    let mirror = request.mirror.as_deref().map_or_else(|| Ok(Mirror::of_host()), Mirror::named)?;
    tools::check(recipe.profile == Profile::Cloud)?;
    let absolute = |path: &Path| std::path::absolute(path).map_err(|e| Error::io("use", path, e));
    let (work_dir, output) = (absolute(&request.work_dir)?, absolute(&request.output)?);
    let flat = recipe.name.replace('/', "-");
    create_private(&work_dir)?;
    let lock = work_dir.join(format!("{flat}.lock"));
    let _lock = Lock::exclusive(cx, &lock, &format!("the build of {}", recipe.name), "box build", true)?;
    let site = Site {
        recipe,
        workshop: Workshop { dir: work_dir.join(&flat), log: work_dir.join(format!("{flat}.log")) },
        scratch: scratch_dir(&work_dir, &flat),
    };
    site.clear()?;
    let built = site.build(cx, &mirror, &output);
    // The error is what the user wants to know; what cannot be removed now is removed by the next build.
    let cleared = site.clear();
    let built = built?;
    cleared?;
    Ok(built)
}

/// Where `mmdebstrap` puts the system while it grows. For an ordinary user other user ids take part, which must be able
/// to get there; a private home lets nobody in.
fn scratch_dir(work_dir: &Path, flat: &str) -> PathBuf {
    if tools::is_root() {
        return work_dir.join(format!("{flat}.tmp"));
    }
    let user = rustix::process::getuid().as_raw();
    std::env::temp_dir().join(format!("vbox-rs-build-{user}-{flat}"))
}

/// One build.
struct Site {
    recipe: &'static Recipe,
    workshop: Workshop,
    scratch: PathBuf,
}

impl Site {
    fn clear(&self) -> Result<(), Error> {
        tools::clear(&self.workshop.dir)?;
        tools::clear(&self.scratch)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workshop.dir.join(name)
    }

    fn build(&self, cx: &Cx, mirror: &Mirror, output: &Path) -> Result<Built, Error> {
        store::remove_file(&self.workshop.log)?;
        create_private(&self.workshop.dir)?;
        create_private(&self.scratch)?;
        let open = fs::Permissions::from_mode(0o711);
        fs::set_permissions(&self.scratch, open).map_err(|e| Error::io("open", &self.scratch, e))?;
        self.write_inputs(mirror)?;
        cx.step("packages", || self.packages(cx)).1?;
        cx.step("image", || self.image(cx)).1?;
        cx.step("bootloader", || self.bootloader(cx)).1?;
        cx.step("box", || self.pack(cx, output)).1
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<(), Error> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|e| Error::io("write", &path, e))
    }

    fn write_inputs(&self, mirror: &Mirror) -> Result<(), Error> {
        self.write("sources.list", mirror.sources(&self.recipe.suite).as_bytes())?;
        self.write("mke2fs.conf", MKE2FS_CONF.as_bytes())?;
        self.write("image.sh", IMAGE_SCRIPT.as_bytes())?;
        let files = assets(self.recipe).map_err(|e| Error::io("write", self.path("files.tar"), e))?;
        self.write("files.tar", &files)
    }

    /// Installs the packages into `root.tar`.
    fn packages(&self, cx: &Cx) -> Result<(), Error> {
        cx.waiting("mmdebstrap");
        let recipe = self.recipe;
        let dump = tools::ask("apt-config", &["dump"]);
        let mut command = self.workshop.command("mmdebstrap");
        command.args(["--variant=minbase", "--format=tar"]);
        command.arg(if tools::is_root() { "--mode=root" } else { "--mode=unshare" });
        command.arg(format!("--architectures={}", recipe.architecture));
        command.arg(format!("--include={}", recipe.packages.join(",")));
        command.arg("--aptopt=APT::Install-Recommends \"false\"");
        // Line by line: as an ordinary user mmdebstrap looks for files as somebody who may not enter our directory.
        command.args(DPKG_CONF.lines().filter(|line| !line.starts_with('#')).map(|line| format!("--dpkgopt={line}")));
        for option in mirror::apt_options(&dump) {
            cx.note(format!("the box keeps the host's setting of apt: {option}"));
            command.arg(format!("--aptopt={option}"));
        }
        command.args(["--setup-hook=tar-in files.tar /"]);
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        command.arg(format!("--customize-hook=chroot \"$1\" /usr/lib/vbox-rs/customize {started}"));
        command.args([&recipe.suite, "root.tar", "sources.list"]);
        command.env("TMPDIR", &self.scratch);
        for (variable, proxy) in mirror::proxies(&dump) {
            if std::env::var_os(variable).is_none() {
                command.env(variable, proxy);
            }
        }
        self.workshop.run(cx, "mmdebstrap", command, None)
    }

    /// Makes `disk.raw` with the root file system, and lays the kernel and other members of the box beside it.
    fn image(&self, cx: &Cx) -> Result<(), Error> {
        cx.waiting("mke2fs");
        let raw = self.path("disk.raw");
        let size = u64::from(self.recipe.disk_gib) << 30;
        File::create(&raw).and_then(|file| file.set_len(size)).map_err(|e| Error::io("write", &raw, e))?;
        let mut command = self.workshop.command_as_root("sh");
        command.arg("image.sh").arg(self.recipe.root_uuid());
        command.arg(self.layout().offset().to_string()).arg(self.layout().blocks().to_string());
        command.env("MKE2FS_CONFIG", self.path("mke2fs.conf"));
        self.workshop.run(cx, "image.sh", command, None)?;
        if self.recipe.profile == Profile::Cloud {
            return Ok(());
        }
        cx.waiting("kernel");
        self.unpack_kernel(cx)
    }

    fn layout(&self) -> Layout {
        Layout { disk_gib: self.recipe.disk_gib, efi: self.recipe.profile == Profile::Cloud }
    }

    /// Leaves the kernel as it is when it cannot be started without its own decompressor.
    fn unpack_kernel(&self, cx: &Cx) -> Result<(), Error> {
        let vmlinuz = self.read("vmlinuz")?;
        let payload = kernel::payload(&vmlinuz)?;
        self.write("payload", payload.bytes)?;
        let mut command = self.workshop.command(payload.program);
        command.args(["-dc", "payload"]);
        self.workshop.run(cx, payload.program, command, Some(&self.path("vmlinux")))?;
        if kernel::starts_directly(&self.read("vmlinux")?) {
            store::remove_file(&self.path("vmlinuz"))?;
        } else {
            store::remove_file(&self.path("vmlinux"))?;
        }
        Ok(())
    }

    /// Makes GRUB's image, which looks for the root file system and goes on with the configuration in it.
    fn bootloader(&self, cx: &Cx) -> Result<(), Error> {
        cx.waiting("grub-mkimage");
        let uuid = self.recipe.root_uuid();
        self.write("early.cfg", format!("search.fs_uuid {uuid} root\nset prefix=($root)/boot/grub\n").as_bytes())?;
        self.grub(cx, "i386-pc", "core.img", &["biosdisk"])?;
        let boot = read(Path::new(tools::GRUB_BOOT))?;
        let mut signature = [0; 4];
        signature.copy_from_slice(&Sha256::digest(uuid.as_bytes())[..4]);
        let head = disk::head(&boot, &self.read("core.img")?, signature, self.layout())?;
        let raw = self.path("disk.raw");
        let failed = |e| Error::io("write", &raw, e);
        let file = File::options().write(true).open(&raw).map_err(failed)?;
        file.write_all_at(&head, 0).map_err(failed)?;
        if self.layout().efi {
            self.grub(cx, "x86_64-efi", "boot.efi", &[])?;
            let partition = disk::efi_partition(&self.read("boot.efi")?).map_err(failed)?;
            file.write_all_at(&partition, disk::EFI_OFFSET).map_err(failed)?;
        }
        cx.waiting("qemu-img");
        let mut command = self.workshop.command("qemu-img");
        command.args(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "box.img"]);
        self.workshop.run(cx, "qemu-img", command, None)
    }

    /// One of GRUB's images: the modules that both kinds of firmware need, and `more`.
    fn grub(&self, cx: &Cx, target: &str, image: &str, more: &[&str]) -> Result<(), Error> {
        let mut command = self.workshop.command("grub-mkimage");
        command.args(["-O", target, "-o", image, "-c", "early.cfg", "-p", "/boot/grub"]).args(more);
        command.args(["part_msdos", "ext2", "search_fs_uuid", "normal", "linux"]);
        command.args(["serial", "terminal", "configfile"]);
        self.workshop.run(cx, "grub-mkimage", command, None)
    }

    fn pack(&self, cx: &Cx, output: &Path) -> Result<Built, Error> {
        let text = |name: &str| Ok::<_, Error>(String::from_utf8_lossy(&self.read(name)?).into_owned());
        let date = text("date")?.trim().parse::<u64>();
        let date = date.map_err(|e| Error::Unexpected { what: "the date of the packages", problem: e.to_string() })?;
        let version = version(&self.recipe.release, date);
        let kernel = (self.recipe.profile == Profile::Quick)
            .then(|| if self.path("vmlinux").exists() { "vmlinux" } else { "vmlinuz" });
        let files_sha256 = hex(&Sha256::digest(self.read("files")?));
        if let Some(dir) = output.parent() {
            fs::create_dir_all(dir).map_err(|e| Error::io("create", dir, e))?;
        }
        let names = kernel.into_iter().flat_map(|kernel| [kernel, "initrd.img"]).chain(["box.img"]);
        let package = Package {
            metadata: metadata(self.recipe, &version, kernel),
            info: Some(info(self.recipe, &text("packages")?, &files_sha256)),
            vagrantfile: None,
            parts: names.map(|name| Part::open(name, &self.path(name))).collect::<Result<_, _>>()?,
            date,
        };
        let size = package.write(cx, output, true)?.size;
        Ok(Built { path: output.into(), name: self.recipe.name.clone(), version, size, files_sha256 })
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        read(&self.path(name))
    }
}

/// Larger than any file that is read as a whole; the largest is the unpacked kernel.
const READ_LIMIT: u64 = 512 << 20;

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let missing = || Error::io("read", path, std::io::ErrorKind::NotFound.into());
    store::read_bounded(path, READ_LIMIT)?.ok_or_else(missing)
}

/// The recipe's files as a tar, owned by root, with nothing in it that another build would not have.
fn assets(recipe: &Recipe) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for asset in recipe.assets() {
        let text = asset.text.replace("@ROOT_UUID@", &recipe.root_uuid()).replace("@CMDLINE@", &recipe.cmdline());
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(asset.mode);
        header.set_mtime(0);
        header.set_cksum();
        archive.append_data(&mut header, asset.path, text.as_bytes())?;
    }
    archive.into_inner()
}

/// What the box says of itself. `libvirt` is the provider whose boxes are one qcow2, so that vagrant-libvirt takes it too.
/// One without a kernel of its own is a cloud image.
fn metadata(recipe: &Recipe, version: &str, kernel: Option<&str>) -> serde_json::Value {
    let mut ours = json!({ "name": recipe.name, "version": version });
    if let Some(kernel) = kernel {
        ours["kernel"] = json!(kernel);
        ours["initrd"] = json!("initrd.img");
        ours["cmdline"] = json!(recipe.cmdline());
        ours["seed"] = json!(true);
        ours["user"] = json!("vagrant");
    } else {
        ours["cloud_init"] = json!("modern");
    }
    json!({
        "provider": "libvirt",
        "format": "qcow2",
        "virtual_size": recipe.disk_gib,
        "architecture": recipe.architecture,
        "vbox_rs": ours,
    })
}

/// What is in the box, for people. `packages` has lines of `name TAB version`.
fn info(recipe: &Recipe, packages: &str, files_sha256: &str) -> serde_json::Map<String, serde_json::Value> {
    let packages: serde_json::Map<_, _> = packages
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, version)| (name.to_owned(), version.into()))
        .collect();
    [
        ("description", recipe.description.clone().into()),
        ("recipe_sha256", recipe.digest().into()),
        ("files_sha256", files_sha256.into()),
        ("packages", packages.into()),
    ]
    .map(|(key, value): (&str, serde_json::Value)| (key.to_owned(), value))
    .into_iter()
    .collect()
}

/// `<release>.<yyyymmdd>.0` for seconds since 1970.
fn version(release: &str, seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    format!("{release}.{year:04}{month:02}{day:02}.0")
}

/// Year, month and day of a day since 1970 (Howard Hinnant's `civil_from_days`: years begin in March, so that the leap
/// day is the last one).
pub(super) fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let era = days / 146_097;
    let of_era = days % 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn versions_follow_the_calendar() {
        for (seconds, want) in [
            (0, "12.19700101.0"),
            (951_782_400, "12.20000229.0"),
            (1_767_225_599, "12.20251231.0"),
            (1_767_225_600, "12.20260101.0"),
        ] {
            assert_eq!(version("12", seconds), want);
        }
    }

    #[test]
    fn the_metadata_is_what_vagrant_libvirt_and_we_read() {
        let recipe = recipe("debian/bookworm64").unwrap();
        let value = metadata(recipe, "12.20260101.0", Some("vmlinux"));
        assert_eq!(value["provider"], "libvirt");
        assert_eq!(value["virtual_size"], 10);
        assert_eq!(value["vbox_rs"]["kernel"], "vmlinux");
        assert!(value["vbox_rs"]["cmdline"].as_str().unwrap().contains(&recipe.root_uuid()));
    }

    #[test]
    fn the_guests_files_are_filled_in() {
        let bytes = assets(recipe("debian/trixie64").unwrap()).unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        for entry in archive.entries().unwrap() {
            let mut text = String::new();
            let mut entry = entry.unwrap();
            entry.read_to_string(&mut text).unwrap();
            assert!(!text.contains("@ROOT_UUID@") && !text.contains("@CMDLINE@"), "{:?}", entry.path());
        }
    }

    #[test]
    fn an_unknown_recipe_and_a_bad_mirror_are_refused_before_any_work() {
        use crate::error::Explain;
        let dir = tempfile::tempdir().unwrap();
        let mut request = BuildRequest {
            recipe: "debian/sarge".into(),
            output: dir.path().join("x.box"),
            mirror: None,
            work_dir: dir.path().join("work"),
        };
        let error = build(&Cx::silent(), &request).unwrap_err();
        assert_eq!(error.to_string(), "no recipe named `debian/sarge`");
        assert_eq!(
            error.hint().unwrap(),
            "there are recipes for debian/bookworm64, debian/bookworm64-cloud, debian/trixie64"
        );
        request.recipe = "debian/trixie64".into();
        request.mirror = Some("x y".into());
        assert!(matches!(build(&Cx::silent(), &request), Err(Error::BadMirror { .. })));
        assert!(!dir.path().join("work").exists());
    }
}
