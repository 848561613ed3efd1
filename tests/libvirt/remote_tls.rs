//! Another host by `qemu+tls`, with certificates of its own, good ones and others.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Name, X509NameRef};
use vbox_rs::config::spec::Protocol;
use vbox_rs::error::{Exit, Explain};
use vbox_rs::provider::{VmPlan, VmState};

use crate::remote_world::Far;
use crate::world::{Daemon, TestVm, forward, free_port, is_root};

const DAY: i64 = 86_400;

/// When a certificate counts, in days from now.
const GOOD: (i64, i64) = (-1, 7);
const PAST: (i64, i64) = (-9, -2);

/// Who signs certificates.
pub struct Ca {
    name: &'static str,
    key: PKey<Private>,
    certificate: X509,
}

fn named(text: &str) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("CN", text).unwrap();
    name.build()
}

fn key() -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap()
}

fn begun(
    key: &PKey<Private>,
    (subject, issuer): (&X509NameRef, &X509NameRef),
    time: (i64, i64),
) -> openssl::x509::X509Builder {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let mut serial = BigNum::new().unwrap();
    serial.rand(63, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&Asn1Integer::from_bn(&serial).unwrap()).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(now + time.0 * DAY).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(now + time.1 * DAY).unwrap()).unwrap();
    builder
}

impl Ca {
    pub fn new(name: &'static str) -> Self {
        let (key, subject) = (key(), named(name));
        let mut builder = begun(&key, (&subject, &subject), GOOD);
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { name, certificate: builder.build(), key }
    }

    /// Key and certificate of a server that is called so, or of a client.
    fn sign(&self, of: Option<&str>, time: (i64, i64)) -> (Vec<u8>, Vec<u8>) {
        let key = key();
        let mut builder = begun(&key, (&named(of.unwrap_or("client")), &named(self.name)), time);
        builder.append_extension(BasicConstraints::new().critical().build().unwrap()).unwrap();
        let usage = KeyUsage::new().critical().digital_signature().key_encipherment().build().unwrap();
        builder.append_extension(usage).unwrap();
        let mut purpose = ExtendedKeyUsage::new();
        match of {
            Some(name) => {
                purpose.server_auth();
                let mut names = SubjectAlternativeName::new();
                if name.parse::<IpAddr>().is_ok() {
                    names.ip(name)
                } else {
                    names.dns(name)
                };
                let names = names.build(&builder.x509v3_context(Some(&self.certificate), None)).unwrap();
                builder.append_extension(names).unwrap();
            }
            None => drop(purpose.client_auth()),
        }
        builder.append_extension(purpose.build().unwrap()).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        (key.private_key_to_pem_pkcs8().unwrap(), builder.build().to_pem().unwrap())
    }

    /// Writes what one side has: the server where it has a name.
    pub fn write(&self, dir: &Path, of: Option<&str>, time: (i64, i64)) {
        let (key, certificate) = self.sign(of, time);
        let side = if of.is_some() { "server" } else { "client" };
        fs::create_dir_all(dir).unwrap();
        fs::write(dir.join("cacert.pem"), self.certificate.to_pem().unwrap()).unwrap();
        fs::write(dir.join(format!("{side}key.pem")), key).unwrap();
        fs::write(dir.join(format!("{side}cert.pem")), certificate).unwrap();
    }
}

/// A daemon that listens for TLS, with those who signed its certificates.
pub struct World {
    pub test: TestVm,
    ca: Ca,
}

impl World {
    /// `None` (and a printed reason) where there is none to start.
    pub fn new() -> Option<Self> {
        if !is_root() {
            println!("skipped: only the daemon of a host listens for others, and root starts it");
            return None;
        }
        let ca = Ca::new("the authority");
        let test = TestVm::at(|dir| {
            let mut far = Far::new();
            let pki = dir.join("pki");
            ca.write(&pki, Some(&far.there.to_string()), GOOD);
            far.certificates = Some(pki);
            Daemon::with(dir, Some(far))
        })?;
        test.daemon.add_pool("default");
        let world = Self { test, ca };
        world.ca.write(&world.client("good"), None, GOOD);
        Some(world)
    }

    /// A client's directory.
    fn client(&self, name: &str) -> PathBuf {
        self.test.root.path().join("client").join(name)
    }

    pub fn uri(&self, client: &str) -> String {
        let Far { there, tls_port, .. } = self.test.daemon.far();
        format!("qemu+tls://{there}:{tls_port}/system?pkipath={}", self.client(client).display())
    }

    fn plan(&self, client: &str) -> VmPlan {
        let mut plan = self.test.remote_plan();
        plan.libvirt.uri = Some(self.uri(client));
        plan
    }

    /// The daemon shows another certificate from here on.
    fn reissue(&mut self, name: &str, time: (i64, i64)) {
        self.ca.write(&self.test.daemon.dir().join("pki"), Some(name), time);
        self.test.daemon.kill();
        assert!(self.test.daemon.restart());
    }

    /// That nothing can be made there; returns what is told, and what helps.
    fn refused(&mut self, uri: &str) -> (String, String) {
        let mut plan = self.plan("good");
        plan.libvirt.uri = Some(uri.into());
        let cx = self.test.cx();
        let error = self.test.vm.create(&cx, &plan).unwrap_err();
        assert_eq!(error.exit(), Exit::Provider, "{error}");
        let begin = format!("no connection by TLS to libvirt's daemon at `{uri}`: ");
        let told = error.to_string();
        let why = told.strip_prefix(&begin).unwrap_or_else(|| panic!("{told}")).to_owned();
        self.test.vm.destroy(&cx).unwrap();
        (why, error.hint().unwrap())
    }
}

#[test]
fn a_machine_lives_at_a_host_that_is_reached_by_tls() {
    let Some(mut world) = World::new() else { return };
    let mut plan = world.plan("good");
    plan.forwards = vec![forward(Protocol::Tcp, free_port())];
    let cx = world.test.cx();
    let test = &mut world.test;
    test.image_of(3 << 20);
    test.vm.create(&cx, &plan).unwrap();
    test.vm.start(&cx, &plan, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    let forwards = test.vm.forwards().unwrap().unwrap();
    assert!(std::net::TcpStream::connect((forwards[0].host_ip, forwards[0].host)).is_ok(), "QEMU listens");
    test.vm.save(&cx).unwrap();
    test.vm.restore(&cx, &plan.forwards, &[]).unwrap();
    assert_eq!(test.state(), VmState::Running);
    test.vm.destroy(&cx).unwrap();
    assert_eq!(test.daemon.volumes("default"), Vec::<String>::new());
    assert_eq!(test.heard.warnings(), Vec::<String>::new());
}

#[test]
fn a_hosts_certificate_that_does_not_fit_is_told_with_what_helps() {
    let Some(mut world) = World::new() else { return };
    let there = world.test.daemon.far().there.to_string();
    let good = world.uri("good");

    let stranger = Ca::new("somebody else");
    stranger.write(&world.client("stranger"), None, GOOD);
    let ca = world.client("stranger").join("cacert.pem");
    let (why, help) = world.refused(&world.uri("stranger"));
    assert_eq!(why, format!("{there}'s certificate was not signed by the CA in {}", ca.display()));
    assert_eq!(help, format!("put the certificate of the CA that signed it into {}", ca.display()));

    world.reissue("elsewhere.example", GOOD);
    let (why, help) = world.refused(&good);
    assert_eq!(why, format!("{there}'s certificate is for elsewhere.example"));
    assert_eq!(help, format!("call the host in `uri` as its certificate does, or have one signed for `{there}`"));

    world.reissue(&there, PAST);
    let (why, help) = world.refused(&good);
    assert!(why.starts_with(&format!("{there}'s certificate expired on ")), "{why}");
    assert!(help.starts_with(&format!("have {there}'s certificate signed anew")), "{help}");

    // Whoever does not want to know is not told.
    let mut plan = world.plan("good");
    plan.libvirt.uri = Some(format!("{good}&no_verify=1"));
    world.test.vm.create(&world.test.cx(), &plan).unwrap();
    assert_eq!(world.test.state(), VmState::Off);
}

#[test]
fn a_certificate_of_this_computer_that_does_not_fit_is_told_with_what_helps() {
    let Some(mut world) = World::new() else { return };
    let there = world.test.daemon.far().there.to_string();

    let (why, help) = world.refused(&world.uri("none"));
    let missing = world.client("none");
    assert_eq!(
        why,
        format!("Cannot read CA certificate '{}/cacert.pem': No such file or directory", missing.display())
    );
    assert!(help.starts_with(&format!("libvirt looks for {}/cacert.pem, ", missing.display())), "{help}");
    assert!(help.contains("`pkipath=/a/directory` in the URI"), "{help}");

    world.ca.write(&world.client("bare"), None, GOOD);
    fs::remove_file(world.client("bare").join("clientcert.pem")).unwrap();
    let (why, help) = world.refused(&world.uri("bare"));
    let bare = world.client("bare");
    let words =
        format!("{there} wants a certificate of this computer, and there is no {}/clientcert.pem", bare.display());
    assert_eq!(why, words);
    assert!(help.contains(&format!("{}/clientcert.pem", bare.display())), "{help}");

    world.ca.write(&world.client("old"), None, PAST);
    let (why, help) = world.refused(&world.uri("old"));
    assert_eq!(why, format!("The client certificate {}/clientcert.pem has expired", world.client("old").display()));
    assert!(help.starts_with("see to "), "{help}");

    // Signed by somebody else than the daemon knows; libvirt's client sees that, too.
    Ca::new("somebody else").write(&world.client("foreign"), None, GOOD);
    let ca = world.client("good").join("cacert.pem");
    fs::copy(ca, world.client("foreign").join("cacert.pem")).unwrap();
    let (why, help) = world.refused(&world.uri("foreign"));
    assert!(why.starts_with("Our own certificate "), "{why}");
    assert!(help.starts_with("see to "), "{help}");

    // A daemon that lets others in.
    let conf = world.test.daemon.dir().join("libvirtd.conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}tls_allowed_dn_list = [\"CN=nobody\"]\n")).unwrap();
    world.test.daemon.kill();
    assert!(world.test.daemon.restart());
    let (_, help) = world.refused(&world.uri("good"));
    assert!(help.contains("`tls_allowed_dn_list`") && help.contains("clientcert.pem must be signed"), "{help}");
}
