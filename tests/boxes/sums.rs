//! Publishers' checksum files and their signatures, from a server that cannot be trusted.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vbox_rs::boxes::fetch::{Access, Tuning, document};
use vbox_rs::boxes::sums::{expected, fetch_sums};
use vbox_rs::boxes::{Error, Keyring, Offer, PublishedSums, Verified};
use vbox_rs::error::{Exit, Explain};
use vbox_rs::progress::{Cancel, Cx, Event, Sink};

use crate::fault_server::{Reply, Server};
use crate::world::{Home, impatient, told};

macro_rules! data {
    ($name:literal) => {
        include_bytes!(concat!("../data/signatures/", $name)).to_vec()
    };
}

const PUBLISHER: &str = "0C409975EE15A4B1CFA64A6FE5A0AB86FD432823";
const LATE: &str = "8CB03F67E9B72C66EFF47DE71075FE9DA470DE20";
const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const B: &str = "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34";

/// What was said on the way.
#[derive(Default)]
struct Said(Mutex<Vec<String>>);

impl Sink for Said {
    fn emit(&self, _: Option<&str>, event: &Event) {
        if let Event::Note(text) | Event::Warning(text) = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

struct World {
    server: Server,
    ring: Keyring,
    said: Arc<Said>,
    cx: Cx,
    _home: Home,
}

fn world() -> World {
    let home = Home::new();
    let keys = home.dirs.config().join("keys");
    fs::create_dir_all(&keys).unwrap();
    fs::write(keys.join("publisher.asc"), data!("publisher.key")).unwrap();
    fs::write(keys.join("late.asc"), data!("late.key")).unwrap();
    let ring = Keyring::new(&home.dirs).unwrap();
    let server = Server::start(|request, _| match request.path.as_str() {
        "/SHA256SUMS" => Reply::new(200, data!("SHA256SUMS")),
        "/SHA256SUMS.gpg" => Reply::new(200, data!("SHA256SUMS.publisher.asc")),
        "/foreign.gpg" => Reply::new(200, data!("SHA256SUMS.foreign.asc")),
        "/late.gpg" => Reply::new(200, data!("SHA256SUMS.late.asc")),
        "/500.gpg" => Reply::new(500, "no"),
        "/huge.gpg" => Reply::new(200, vec![b'x'; 100_000]),
        "/changed" => Reply::new(200, format!("{A} *y.img\n{B} *x.img\n")),
        "/CHECKSUM" => Reply::new(200, data!("CHECKSUM")),
        "/page" | "/page.gpg" => Reply::new(200, "<!DOCTYPE html><html>Log in</html>"),
        "/twice" => Reply::new(200, format!("{A} *x.img\n{B} *x.img\n")),
        "/big" => Reply::new(200, vec![b'\n'; 50 << 20]),
        "/x.img.sha256" => Reply::new(200, format!("{A}  x-20260101.img\n")),
        "/bare" => Reply::new(200, format!("{A}\n")),
        "/md5" => Reply::new(200, "900150983cd24fb0d6963f7d28e17f72  x.img\n"),
        _ => Reply::new(404, "no"),
    });
    let said = Arc::new(Said::default());
    let cx = Cx::new(said.clone(), Cancel::default());
    World { server, ring, said, cx, _home: home }
}

impl World {
    fn sums(&self, path: &str, signature: Option<&str>, keys: &[&str]) -> PublishedSums {
        PublishedSums {
            url: self.server.url(path),
            file: "x.img".into(),
            signature: signature.map(|path| self.server.url(path)),
            keys: keys.iter().map(|key| (*key).into()).collect(),
        }
    }

    fn fetch(&self, path: &str, signature: Option<&str>, keys: &[&str]) -> Result<(String, Verified), Error> {
        let (checksum, verified) =
            fetch_sums(&self.cx, &self.ring, &Access::default(), &self.sums(path, signature, keys))?;
        Ok((checksum.to_string(), verified))
    }

    fn said(&self) -> String {
        self.said.0.lock().unwrap().join("\n")
    }
}

#[test]
fn a_signed_file_gives_the_hash_and_the_key() {
    let world = world();
    let signed = (format!("sha256:{A}"), Verified::Signature(PUBLISHER.into()));
    assert_eq!(world.fetch("/SHA256SUMS", Some("/SHA256SUMS.gpg"), &[PUBLISHER]).unwrap(), signed);
    assert_eq!(world.fetch("/CHECKSUM", None, &[LATE, PUBLISHER]).unwrap(), signed);
    assert_eq!(world.said(), "");
}

#[test]
fn without_a_signature_only_the_checksum_counts_and_it_is_said() {
    let world = world();
    let plain = (format!("sha256:{A}"), Verified::Checksum);
    for (path, signature, keys, why) in [
        ("/SHA256SUMS", None, &[][..], ""),
        ("/x.img.sha256", None, &[], ""),
        ("/bare", None, &[], ""),
        ("/SHA256SUMS", Some("/late.gpg"), &[LATE], "after its key expired"),
    ] {
        world.said.0.lock().unwrap().clear();
        assert_eq!(world.fetch(path, signature, keys).unwrap(), plain, "{path} {signature:?}");
        assert!(world.said().contains(why) && world.said().is_empty() == why.is_empty(), "{}", world.said());
    }
}

#[test]
fn every_bad_file_of_checksums_is_refused() {
    let world = world();
    let keys = &[PUBLISHER][..];
    for (path, signature, exit, why) in [
        (
            "/SHA256SUMS",
            Some("/foreign.gpg"),
            Exit::Checksum,
            "it is signed by 083D828DA2AF9D328BC6F2445883490FA6459D9F",
        ),
        ("/changed", Some("/SHA256SUMS.gpg"), Exit::Checksum, "the file is not what was signed"),
        ("/SHA256SUMS", Some("/page.gpg"), Exit::Checksum, "its signature cannot be read"),
        ("/SHA256SUMS", Some("/500.gpg"), Exit::Network, "answered 500"),
        ("/SHA256SUMS", Some("/huge.gpg"), Exit::BoxRefused, "65536 are accepted"),
        // Whoever can replace the file can leave out the signature, too.
        ("/SHA256SUMS", Some("/gone.gpg"), Exit::Checksum, "has no signature beside it, and its publisher signs it"),
        ("/SHA256SUMS", None, Exit::Checksum, "is not signed any more"),
        ("/big", None, Exit::BoxRefused, "8388608 are accepted"),
        ("/gone", None, Exit::BoxNotFound, "answered 404 Not Found"),
    ] {
        let error = world.fetch(path, signature, keys).unwrap_err();
        assert!(error.hint().is_some(), "{path}");
        let (message, code) = told(error);
        assert!(message.contains(why), "{path}: {message}");
        assert_eq!(code, exit, "{message}");
    }
    for (path, why) in
        [("/page", "it is a web page, not a file of checksums"), ("/twice", "two different checksums of `x.img`")]
    {
        let (message, code) = told(world.fetch(path, None, &[]).unwrap_err());
        assert!(message.contains(why), "{path}: {message}");
        assert_eq!(code, Exit::Checksum, "{message}");
    }
    let sums = PublishedSums { file: "z.img".into(), ..world.sums("/SHA256SUMS", None, &[]) };
    let (message, code) = told(fetch_sums(&world.cx, &world.ring, &Access::default(), &sums).unwrap_err());
    assert!(message.ends_with("cannot be used: it does not list `z.img`"), "{message}");
    assert_eq!(code, Exit::Checksum);
}

#[test]
fn the_publishers_signature_counts_more_than_the_catalogue_and_neither_may_contradict() {
    let world = world();
    let offer = |checksum: Option<&str>, sums| Offer {
        checksum: checksum.map(|hex| hex.parse().unwrap()),
        sums,
        ..Offer::default()
    };
    let ask = |offer: &Offer| {
        let expected = expected(&world.cx, &world.ring, &Access::default(), offer)?;
        Ok::<_, Error>((expected.checksum.map(|checksum| checksum.to_string()), expected.verified))
    };
    let is_a = Some(format!("sha256:{A}"));
    let signed = world.sums("/SHA256SUMS", Some("/SHA256SUMS.gpg"), &[PUBLISHER]);
    let by_key = Verified::Signature(PUBLISHER.into());
    assert_eq!(ask(&offer(Some(A), Some(signed.clone()))).unwrap(), (is_a.clone(), by_key.clone()));
    assert_eq!(ask(&offer(None, Some(signed.clone()))).unwrap(), (is_a.clone(), by_key));
    assert_eq!(ask(&offer(Some(A), None)).unwrap(), (is_a.clone(), Verified::Checksum));
    assert_eq!(ask(&offer(None, None)).unwrap(), (None, Verified::Nothing));

    let before = world.server.requests().len();
    assert_eq!(ask(&offer(Some(A), Some(world.sums("/gone", None, &[])))).unwrap().0, is_a);
    assert_eq!(world.server.requests().len(), before, "an unsigned file says nothing new");

    let gone = world.sums("/gone", Some("/gone.gpg"), &[PUBLISHER]);
    assert_eq!(ask(&offer(Some(A), Some(gone.clone()))).unwrap(), (is_a, Verified::Checksum));
    assert!(world.said().contains("the signature was not checked"), "{}", world.said());
    assert_eq!(ask(&offer(None, Some(gone))).unwrap_err().exit(), Exit::BoxNotFound);

    let (message, code) = told(ask(&offer(Some(B), Some(signed))).unwrap_err());
    assert!(message.contains(&format!("names sha256:{A} for `x.img`, and the catalogue sha256:{B}")), "{message}");
    assert_eq!(code, Exit::Checksum);
    let foreign = world.sums("/SHA256SUMS", Some("/foreign.gpg"), &[PUBLISHER]);
    assert_eq!(ask(&offer(Some(A), Some(foreign))).unwrap_err().exit(), Exit::Checksum);

    ask(&offer(None, Some(world.sums("/md5", None, &[])))).unwrap();
    assert!(world.said().contains("its checksum is md5"), "{}", world.said());
}

#[test]
fn a_cancelled_command_asks_no_server() {
    let world = world();
    world.cx.cancel().raise();
    let error = world.fetch("/SHA256SUMS", None, &[]).unwrap_err();
    assert_eq!(error.exit(), Exit::Interrupted);
}

#[test]
fn a_small_document_that_comes_drop_by_drop_ends() {
    let server = Server::start(|_, _| Reply::new(200, vec![b' '; 40 * (64 << 10)]).slow(Duration::from_millis(100)));
    let tuning = Tuning { stall: Duration::from_millis(150), tries: 1, ..impatient() };
    let error = document(&Cx::silent(), &server.url("/sums"), 8 << 20, &Access::default(), &tuning).unwrap_err();
    assert!(error.hint().is_some());
    let (message, exit) = told(error);
    assert!(message.contains("is too slow"), "{message}");
    assert_eq!(exit, Exit::Network);
}
