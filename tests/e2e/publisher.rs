//! A publisher of cloud images on this host.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::fault_server::{Reply, Server};
use crate::world::World;

const IMAGE: &str = "/12/acme-12.qcow2";

/// An image, its signed checksums, and the user's own entry of the catalogue.
pub struct Publisher {
    server: Server,
    pub fingerprint: String,
    pub sha256: String,
    pub size: u64,
}

impl Publisher {
    /// Nothing where there is no gpg: the rest of signatures is tested without machines.
    pub fn of(world: &World, image: &Path) -> Option<Self> {
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
            IMAGE => Reply::file(request, &bytes, "\"acme\""),
            "/12/SHA256SUMS" => Reply::new(200, sums.clone()),
            "/12/SHA256SUMS.gpg" => Reply::new(200, signed.clone()),
            _ => Reply::new(404, ""),
        });
        Some(Self { server, fingerprint, sha256, size })
    }

    /// Where its image is.
    pub fn url(&self) -> String {
        self.server.url(IMAGE)
    }

    /// Lets `world` know of it, as a user does.
    pub fn catalogue(&self, world: &World) {
        let folder = world.home().join("config/catalogue");
        fs::create_dir_all(&folder).unwrap();
        let entry = format!(
            "name = \"acme/linux12\"\ntitle = \"Acme Linux 12\"\npublisher = \"Acme\"\naliases = [\"generic/acme12\"]\n\
             user = \"debian\"\ncloud_init = \"modern\"\nsums = \"SHA256SUMS\"\nsignature = \"{{sums}}.gpg\"\nkeys = \
             [\"{}\"]\n\n[[image]]\narchitecture = \"amd64\"\nversion = \"12.1\"\nurl = \"{}\"\nchecksum = \
             \"sha256:{}\"\n",
            self.fingerprint,
            self.url(),
            self.sha256
        );
        fs::write(folder.join("acme-12.toml"), entry).unwrap();
    }

    /// How often its image was fetched.
    pub fn asked(&self) -> usize {
        self.server.requests().iter().filter(|request| request.path == IMAGE).count()
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
