//! `qemu+tls`: which certificate does not fit, and what helps.
//!
//! libvirt's client checks the other host's certificate, and then says only that it failed; the reason goes to a log that
//! nobody reads. So where it says that, the host is called once more, without a word of libvirt's protocol, and OpenSSL
//! tells what is wrong with the certificate that it shows. Nothing is decided here: who is believed is libvirt's business.

use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use openssl::ssl::{HandshakeError, Ssl, SslContext, SslMethod, SslRef, SslVerifyMode};
use openssl::x509::X509Ref;

use super::Error;
use super::ffi::Complaint;
use super::uri::{self, Place};
use crate::trace::quoted;

/// Where libvirt's daemons listen for TLS.
const PORT: u16 = 16_514;

/// How long a host may take to show its certificate once more.
const LOOK: Duration = Duration::from_secs(5);

/// How libvirt's client says that the host's certificate failed.
const FAILED: &str = "Failed to verify peer's certificate";

/// What it says when the host hangs up on a certificate of ours, which it may see only after its own part is done.
const HUNG_UP: [&str; 5] = [
    "Unable to read TLS confirmation",
    "server verification (of our certificate or IP address) failed",
    "TLS handshake failed",
    "A TLS fatal alert has been received",
    "The TLS connection was non-properly terminated",
];

/// How it begins where a file of ours is the trouble.
const OWN: [&str; 6] = [
    "Our own certificate",
    "The CA certificate /",
    "The client certificate /",
    "Cannot read ",
    "Unable to ",
    "Certificate /",
];

/// As many of a certificate's names as are told.
const NAMES: usize = 4;

/// The files that the client has.
struct Files {
    ca: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    /// Where libvirt's client looks for them.
    fn of(uri: &str) -> Self {
        let below = |dir: &Path| Self {
            ca: dir.join("cacert.pem"),
            certificate: dir.join("clientcert.pem"),
            key: dir.join("clientkey.pem"),
        };
        if let Some(dir) = uri::pki(uri) {
            return below(&dir);
        }
        let own =
            dirs::home_dir().filter(|_| !rustix::process::geteuid().is_root()).map(|home| home.join(".pki/libvirt"));
        match own.filter(|dir| dir.join("cacert.pem").exists()) {
            Some(dir) => below(&dir),
            None => Self {
                ca: "/etc/pki/CA/cacert.pem".into(),
                certificate: "/etc/pki/libvirt/clientcert.pem".into(),
                key: "/etc/pki/libvirt/private/clientkey.pem".into(),
            },
        }
    }
}

/// A complaint with the reason in it, where libvirt keeps that for itself.
pub fn look_into(uri: &str, mut complaint: Complaint) -> Complaint {
    let Ok(Place::Port { host, port, tls: true }) = uri::place(uri) else { return complaint };
    let files = Files::of(uri);
    let reason = if complaint.message.contains(FAILED) {
        fault(&host, port.unwrap_or(PORT), &files.ca)
    } else if hung_up(&complaint.message) {
        let missing = [&files.certificate, &files.key].into_iter().find(|file| !file.exists());
        missing.map(|file| format!("{host} wants a certificate of this computer, and there is no {}", file.display()))
    } else {
        None
    };
    if let Some(reason) = reason {
        complaint.message = reason;
    }
    complaint
}

fn hung_up(message: &str) -> bool {
    HUNG_UP.iter().any(|words| message.contains(words))
}

/// What it means, where it is about certificates.
pub fn error(uri: &str, message: &str) -> Option<Error> {
    let Ok(Place::Port { host, port, tls: true }) = uri::place(uri) else { return None };
    let files = Files::of(uri);
    let fix = if message.contains(FAULTS[0]) || message.contains(FAULTS[1]) {
        format!("have {host}'s certificate signed anew; or this computer's clock is wrong")
    } else if message.contains(FAULTS[2]) {
        format!("put the certificate of the CA that signed it into {}", files.ca.display())
    } else if message.contains(FAULTS[3]) {
        format!("call the host in `uri` as its certificate does, or have one signed for `{host}`")
    } else if message.contains(FAILED) {
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let (port, ca) = (port.unwrap_or(PORT), quoted(&files.ca.to_string_lossy()));
        format!("`openssl s_client -connect {host}:{port} -CAfile {ca}` shows its certificate")
    } else if message.contains("wants a certificate of this computer") || message.starts_with("Cannot read ") {
        let [certificate, key] = [&files.certificate, &files.key].map(|file| file.display());
        format!(
            "libvirt looks for {}, {certificate} and {key}; `pkipath=/a/directory` in the URI says where else",
            files.ca.display()
        )
    } else if hung_up(message) {
        format!(
            "{} must be signed by the CA that {host}'s daemon knows, and be named in its `tls_allowed_dn_list` where it has \
             one; its log says why it was refused",
            files.certificate.display()
        )
    } else if OWN.iter().any(|words| message.starts_with(words)) {
        format!(
            "see to {} and {}: `openssl x509 -noout -text -in` shows them",
            files.ca.display(),
            files.certificate.display()
        )
    } else {
        return None;
    };
    Some(Error::Certificate { uri: uri::shown(uri), message: message.into(), fix })
}

/// Our words for what may be wrong with a host's certificate.
const FAULTS: [&str; 4] = [
    "certificate expired on",
    "certificate is not valid before",
    "certificate was not signed by the CA in",
    "certificate is for",
];

/// What is wrong with the certificate that a host shows; `None` where that cannot be found out.
fn fault(host: &str, port: u16, ca: &Path) -> Option<String> {
    let mut context = SslContext::builder(SslMethod::tls_client()).ok()?;
    context.set_ca_file(ca).ok()?;
    // It shall be seen whole: nothing is sent to it.
    context.set_verify(SslVerifyMode::NONE);
    let mut ssl = Ssl::new(&context.build()).ok()?;
    if let Ok(address) = host.parse::<IpAddr>() {
        ssl.param_mut().set_ip(address).ok()?;
    } else {
        ssl.set_hostname(host).ok()?;
        ssl.param_mut().set_host(host).ok()?;
    }
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let stream = TcpStream::connect_timeout(&address, LOOK).ok()?;
    stream.set_read_timeout(Some(LOOK)).ok()?;
    stream.set_write_timeout(Some(LOOK)).ok()?;
    match ssl.connect(stream) {
        Ok(stream) => told(host, ca, stream.ssl()),
        // It may want a certificate of ours; what it has was seen by then.
        Err(HandshakeError::Failure(stream) | HandshakeError::WouldBlock(stream)) => told(host, ca, stream.ssl()),
        Err(HandshakeError::SetupFailure(_)) => None,
    }
}

fn told(host: &str, ca: &Path, ssl: &SslRef) -> Option<String> {
    let certificate = ssl.peer_certificate()?;
    let verdict = ssl.verify_result();
    // OpenSSL's numbers (`x509_vfy.h`), which never change.
    let reason = match verdict.as_raw() {
        0 => return None,
        10 => format!("{} {}", FAULTS[0], certificate.not_after()),
        9 => format!("{} {}", FAULTS[1], certificate.not_before()),
        18..=21 => format!("{} {}", FAULTS[2], ca.display()),
        62 | 64 => format!("{} {}", FAULTS[3], names(&certificate)),
        _ => format!("certificate is not good: {}", verdict.error_string()),
    };
    Some(format!("{host}'s {reason}"))
}

/// Whom a certificate is for: a stranger's words.
fn names(certificate: &X509Ref) -> String {
    let clean = |name: String| name.chars().filter(char::is_ascii_graphic).take(100).collect::<String>();
    let mut names = Vec::new();
    for name in certificate.subject_alt_names().iter().flatten() {
        let address = name.ipaddress().and_then(|bytes| match bytes.len() {
            4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
            _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        });
        names.extend(name.dnsname().map(|name| clean(name.into())).or(address.map(|address| address.to_string())));
    }
    if names.is_empty() {
        let subject = certificate.subject_name().entries_by_nid(openssl::nid::Nid::COMMONNAME);
        names.extend(subject.filter_map(|entry| entry.data().to_string().ok()).map(clean));
    }
    names.truncate(NAMES);
    if names.is_empty() { "nobody".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Exit, Explain};

    #[test]
    fn each_fault_of_a_certificate_has_its_own_help() {
        let uri = "qemu+tls://far/system?pkipath=/p";
        for (message, help) in [
            ("far's certificate expired on May  1 00:00:00 2020 GMT", "have far's certificate signed anew"),
            ("far's certificate is not valid before May  1 00:00:00 2090 GMT", "or this computer's clock is wrong"),
            (
                "far's certificate was not signed by the CA in /p/cacert.pem",
                "of the CA that signed it into /p/cacert.pem",
            ),
            ("far's certificate is for near, 192.0.2.1", "or have one signed for `far`"),
            ("authentication failed: Failed to verify peer's certificate", "-connect far:16514 -CAfile /p/cacert.pem"),
            (
                "Cannot read CA certificate '/p/cacert.pem': No such file or directory",
                "libvirt looks for /p/cacert.pem,",
            ),
            ("The client certificate /p/clientcert.pem has expired", "see to /p/cacert.pem and /p/clientcert.pem"),
            ("Unable to read TLS confirmation: Input/output error", "its `tls_allowed_dn_list`"),
        ] {
            let error = error(uri, message).unwrap();
            assert!(error.hint().unwrap().contains(help), "{error}: {:?}", error.hint());
            assert_eq!(error.exit(), Exit::Provider);
            assert_eq!(error.to_string(), format!("no connection by TLS to libvirt's daemon at `{uri}`: {message}"));
        }
        let other = "unable to connect to server at 'far:16514': Connection refused";
        assert!(error(uri, other).is_none());
    }

    #[test]
    fn the_command_that_shows_a_certificate_asks_where_the_daemon_listens() {
        for (at, address) in [
            ("far", "far:16514"),
            ("far:16999", "far:16999"),
            ("[2001:db8::1]", "[2001:db8::1]:16514"),
            ("[2001:db8::1]:16999", "[2001:db8::1]:16999"),
        ] {
            let hint = error(&format!("qemu+tls://{at}/system?pkipath=/p"), FAILED).unwrap().hint().unwrap();
            let command = format!("`openssl s_client -connect {address} -CAfile /p/cacert.pem` shows its certificate");
            assert_eq!(hint, command);
        }
        assert!(error("qemu+tcp://far/system", FAILED).is_none());
    }
}
