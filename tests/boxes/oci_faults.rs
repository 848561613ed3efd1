//! Registries that lie, break off, or want a secret.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::{Arc, Mutex};

use tar::EntryType;
use vbox_rs::boxes::{AddRequest, Error};
use vbox_rs::error::{Exit, Explain};

use crate::fault_server::{Reply, Request, Server};
use crate::images::{gz, header, plain_box, qcow2, tar, with_backing_file};
use crate::oci_registry::{options, pull_request};
use crate::world::{Home, impatient, raw, sha256, told};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BOX: &str = "application/vnd.vbox-rs.box.v1";
const CONFIG: &str = "application/vnd.vbox-rs.box.config.v1+json";
const PIECE: &str = "application/vnd.vbox-rs.box.piece.v1+zstd";
const IMAGE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Manifests by tag or digest, blobs by digest: what a registry serves.
#[derive(Clone, Default)]
struct Shelf {
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    blobs: BTreeMap<String, Vec<u8>>,
}

impl Shelf {
    fn blob(&mut self, bytes: &[u8]) -> String {
        let digest = format!("sha256:{}", sha256(bytes));
        self.blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    /// Puts a document under a tag and its digest; returns the digest.
    fn put(&mut self, tag: &str, media_type: &str, document: &str) -> String {
        let digest = format!("sha256:{}", sha256(document.as_bytes()));
        for name in [tag.to_owned(), digest.clone()] {
            self.manifests.insert(name, (media_type.into(), document.into()));
        }
        digest
    }

    fn answer(&self, request: &Request) -> Reply {
        let (_, last) = request.path.rsplit_once('/').unwrap();
        if request.path.contains("/manifests/") {
            return match self.manifests.get(last) {
                Some((kind, bytes)) => Reply::new(200, bytes.clone()).header("Content-Type", kind.clone()),
                None => Reply::new(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#),
            };
        }
        match self.blobs.get(last) {
            Some(bytes) => Reply::file(request, bytes, ""),
            None => Reply::new(404, ""),
        }
    }

    fn serve(self) -> Server {
        Server::start(move |request, _| self.answer(request))
    }
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn descriptor(kind: &str, digest: &str, size: usize, rest: &str) -> String {
    format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}{rest}}}"#)
}

fn manifest(artifact: &str, config: &str, layers: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"{artifact}","config":{config},"layers":[{}]}}"#,
        layers.join(",")
    )
}

/// A piece of `disk0`; what it claims can be changed.
struct Piece {
    packed: Vec<u8>,
    offset: usize,
    size: usize,
    digest: String,
}

impl Piece {
    fn of(image: &[u8], offset: usize) -> Self {
        Self { packed: zstd(image), offset, size: image.len(), digest: format!("sha256:{}", sha256(image)) }
    }

    fn notes(&self) -> String {
        let Self { offset, size, digest, .. } = self;
        format!(
            r#","annotations":{{"org.vbox-rs.piece.file":"disk0","org.vbox-rs.piece.offset":"{offset}","org.vbox-rs.piece.size":"{size}","org.vbox-rs.piece.digest":"{digest}"}}"#
        )
    }
}

fn config(image: &[u8], format: &str) -> String {
    format!(
        r#"{{"format":1,"metadata":{{"provider":"libvirt","vbox_rs":{{"name":"me/web","version":"1"}}}},
        "disks":[{{"sha256":"{}","format":"{format}","virtual_size":1,"size":{}}}]}}"#,
        sha256(image),
        image.len()
    )
}

/// Our own artifact of these pieces, under `latest`.
fn ours(config: &str, pieces: &[Piece]) -> Shelf {
    let mut shelf = Shelf::default();
    let layers: Vec<String> = pieces
        .iter()
        .map(|piece| descriptor(PIECE, &shelf.blob(&piece.packed), piece.packed.len(), &piece.notes()))
        .collect();
    let digest = shelf.blob(config.as_bytes());
    let document = manifest(BOX, &descriptor(CONFIG, &digest, config.len(), ""), &layers);
    shelf.put("latest", MANIFEST, &document);
    shelf
}

/// Somebody else's artifact of one layer.
fn theirs(config: &str, kind: &str, layer: &[u8]) -> Shelf {
    let mut shelf = Shelf::default();
    let layers = [descriptor(kind, &shelf.blob(layer), layer.len(), "")];
    let digest = shelf.blob(b"{}");
    let document = manifest("application/vnd.unknown", &descriptor(config, &digest, 2, ""), &layers);
    shelf.put("latest", MANIFEST, &document);
    shelf
}

fn oci(server: &Server) -> AddRequest {
    let place = server.url("/a/web").replace("http://", "oci://");
    AddRequest { tuning: impatient(), ..pull_request(&place) }
}

/// The same with a login there.
fn known(server: &Server) -> AddRequest {
    let request = oci(server);
    AddRequest { logins: options(&request.source, Some(("me", "s3cret"))).logins, ..request }
}

/// Adds from a server and expects that nothing comes of it.
fn refused(server: &Server) -> (String, Exit) {
    let home = Home::new();
    let error = home.add(&oci(server)).unwrap_err();
    let told = told(error);
    home.assert_empty(&told.0);
    told
}

#[test]
fn an_artifact_that_lies_is_refused_with_the_reason_and_leaves_nothing() {
    let image = qcow2(300_000);
    let good = || Piece::of(&image, 0);
    let plain = config(&image, "qcow2");
    let bomb = Piece { packed: zstd(&vec![0; 8 << 20]), ..good() };
    let short = Piece { packed: zstd(&image[..1000]), ..good() };
    let other = Piece { packed: zstd(&qcow2(300_008)[..300_000].iter().rev().copied().collect::<Vec<_>>()), ..good() };
    let damaged = Piece { packed: b"no zstd at all".to_vec(), ..good() };
    let backing = with_backing_file("/etc/shadow");
    for (config, pieces, why, exit) in [
        (&plain, vec![bomb], "decompresses to more than the 300000 bytes", Exit::BoxRefused),
        (&plain, vec![short], "decompresses to 1000 bytes, not to the 300000", Exit::BoxRefused),
        (&plain, vec![other], "the piece of `disk0` at 0 has sha256:", Exit::Checksum),
        (&plain, vec![damaged], "zstd data is damaged", Exit::BoxRefused),
        (&plain, vec![good(), good()], "overlap", Exit::BoxRefused),
        (&plain, vec![Piece { offset: 1, ..good() }], "lies behind", Exit::BoxRefused),
        (&plain, vec![Piece { size: 1 << 40, ..good() }], "is no piece", Exit::BoxRefused),
        (&plain, vec![], "put together from its pieces, has sha256:", Exit::Checksum),
        (&config(&backing, "qcow2"), vec![Piece::of(&backing, 0)], "backing file, `/etc/shadow`", Exit::BoxRefused),
        (&config(&backing, "raw"), vec![Piece::of(&backing, 0)], "claims to be raw", Exit::BoxRefused),
        (&config(&image, "../x"), vec![good()], "its format `../x` is not known", Exit::BoxRefused),
        (&plain.replace("libvirt", "parallels"), vec![good()], "made for parallels", Exit::BoxRefused),
        (&plain.replace("\"format\":1", "\"format\":9"), vec![good()], "has format 9", Exit::BoxRefused),
        (&plain.replace("me/web", "a\\nb"), vec![good()], "control characters", Exit::Usage),
        (&plain.replace("\"size\":300000", "\"size\":99999999999999"), vec![good()], "are accepted", Exit::BoxRefused),
        (&"{".into(), vec![good()], "its configuration is broken", Exit::BoxRefused),
    ] {
        let (message, code) = refused(&ours(config, &pieces).serve());
        assert!(message.contains(why), "{why}: {message}");
        assert_eq!(code, exit, "{message}");
    }
}

#[test]
fn manifests_that_make_no_sense_are_refused() {
    let image = qcow2(1000);
    let whole = ours(&config(&image, "qcow2"), &[Piece::of(&image, 0)]);
    let with = |kind: &str, text: &str| {
        let mut shelf = whole.clone();
        shelf.put("latest", kind, text);
        shelf
    };
    let nested = {
        let mut shelf = whole.clone();
        let entry = |digest: &str, size: usize| {
            format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(INDEX, digest, size, ""))
        };
        let inner = entry(&format!("sha256:{}", "0".repeat(64)), 5);
        let digest = shelf.put("inner", INDEX, &inner);
        shelf.put("latest", INDEX, &entry(&digest, inner.len()));
        shelf
    };
    let wrong_size = {
        let mut shelf = whole.clone();
        let (_, document) = &whole.manifests["latest"];
        let digest = format!("sha256:{}", sha256(document));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(MANIFEST, &digest, 7, ""));
        shelf.put("latest", INDEX, &index);
        shelf
    };
    let swapped = {
        let mut shelf = whole.clone();
        let entry = format!("sha256:{}", "1".repeat(64));
        let document = whole.manifests["latest"].clone();
        shelf.put(
            "latest",
            INDEX,
            &format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(MANIFEST, &entry, 7, "")),
        );
        shelf.manifests.insert(entry, document);
        shelf
    };
    let odd_layer = manifest(BOX, &descriptor(CONFIG, whole.blobs.keys().next().unwrap(), 9, ""), &[]);
    let deep = format!(r#"{{"schemaVersion":2,"manifests":{}"#, "[".repeat(1 << 20));
    let old = r#"{"schemaVersion":1,"name":"a","fsLayers":[]}"#;
    for (shelf, why, exit) in [
        (with(MANIFEST, &"x".repeat(50 << 20)), "4194304 are accepted", Exit::BoxRefused),
        (with(INDEX, &deep), "its manifest is broken", Exit::BoxRefused),
        (with(MANIFEST, "<html>"), "its manifest is broken", Exit::BoxRefused),
        (with(MANIFEST, old), "version 1 of the schema", Exit::BoxRefused),
        (
            with("text/html", r#"{"schemaVersion":2,"mediaType":"text/html"}"#),
            "`text/html` is no manifest",
            Exit::BoxRefused,
        ),
        (
            with(INDEX, &manifest(BOX, &descriptor(CONFIG, &format!("sha256:{}", "0".repeat(64)), 1, ""), &[])),
            "was sent as",
            Exit::BoxRefused,
        ),
        (with(MANIFEST, &odd_layer), "bytes, not 9", Exit::BoxRefused),
        (nested, "an index in an index", Exit::BoxRefused),
        (wrong_size, "bytes, not 7", Exit::BoxRefused),
        (swapped, "the manifest at oci://", Exit::Checksum),
        (Shelf::default(), "there is no oci://", Exit::BoxNotFound),
    ] {
        let (message, code) = refused(&shelf.serve());
        assert!(message.contains(why), "{why}: {message}");
        assert_eq!(code, exit, "{message}");
    }
}

#[test]
fn what_others_publish_is_read_and_its_tricks_are_refused() {
    let image = qcow2(300_000);
    let disk = |image: &[u8]| tar(&[("disk/fedora.qcow2", image)]);
    let octets = "application/octet-stream";
    let empty = "application/vnd.oci.empty.v1+json";
    for (config, kind, layer, format) in [
        (IMAGE, LAYER, gz(&disk(&image)), "qcow2"),
        (IMAGE, "application/vnd.oci.image.layer.v1.tar+zstd", zstd(&disk(&image)), "qcow2"),
        (IMAGE, "application/vnd.oci.image.layer.v1.tar", disk(&raw()), "raw"),
        (empty, "application/vnd.oci.image.layer.v1.tar", plain_box(300_000), "qcow2"),
        (empty, octets, image.clone(), "qcow2"),
        (empty, octets, gz(&image), "qcow2"),
        (empty, octets, zstd(&image), "qcow2"),
        (IMAGE, "application/vnd.com.linbit.virter.layer.v1.qcow2.gzip", gz(&image), "qcow2"),
    ] {
        let server = theirs(config, kind, &layer).serve();
        let home = Home::new();
        let installed = home.add(&oci(&server)).unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        let expected = if format == "raw" { raw() } else { image.clone() };
        assert_eq!(fs::read(&installed.disk_paths()[0]).unwrap(), expected, "{kind}");
        assert_eq!((installed.manifest.name.as_str(), installed.manifest.disks[0].format.as_str()), ("web", format));
    }
    let odd = |kind, name: &[u8]| {
        let mut bytes = header(kind, name, 0).as_bytes().to_vec();
        bytes.extend([0; 1024]);
        gz(&bytes)
    };
    let two = tar(&[("disk/a.img", &image), ("disk/b.img", &image)]);
    for (config, kind, layer, why) in [
        (IMAGE, LAYER, odd(EntryType::Symlink, b"disk/a.img"), "a symbolic link"),
        (IMAGE, LAYER, odd(EntryType::Regular, b"disk/../../x"), "leads out"),
        (IMAGE, LAYER, odd(EntryType::Regular, b"/disk/x"), "absolute path"),
        (IMAGE, LAYER, gz(&tar(&[("etc/passwd", b"x")])), "does not hold `disk/…`"),
        (IMAGE, LAYER, gz(&two), "2 disks"),
        (IMAGE, LAYER, gz(&disk(&with_backing_file("/etc/shadow"))), "/etc/shadow"),
        (IMAGE, LAYER, gz(&disk(&image))[..5000].to_vec(), "cut off"),
        (
            IMAGE,
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
            gz(&image),
            "`application/vnd.cncf.helm.chart.content.v1.tar+gzip`",
        ),
        (empty, octets, b"<html>".to_vec(), "a web page"),
    ] {
        let (message, exit) = refused(&theirs(config, kind, &layer).serve());
        assert!(message.contains(why), "{why}: {message}");
        assert_eq!(exit, Exit::BoxRefused, "{message}");
    }
    let mut several = theirs(IMAGE, LAYER, b"x");
    let layer = descriptor(LAYER, &several.blob(b"x"), 1, "");
    let config = descriptor(IMAGE, &several.blob(b"{}"), 2, "");
    several.put("latest", MANIFEST, &manifest("x/y", &config, &[layer.clone(), layer]));
    assert!(refused(&several.serve()).0.contains("it has 2 layers"));
}

#[test]
fn a_layer_of_the_wrong_content_or_length_is_refused() {
    let image = qcow2(3 << 20);
    let shelves =
        [ours(&config(&image, "qcow2"), &[Piece::of(&image, 0)]), theirs("a/b", "application/octet-stream", &image)];
    for shelf in shelves {
        let large = |bytes: &&Vec<u8>| bytes.len() > 1 << 20;
        let bytes = shelf.blobs.values().find(large).unwrap().clone();
        let mut changed = bytes.clone();
        changed[2 << 20] ^= 1;
        let longer = [bytes.as_slice(), b"more"].concat();
        for (body, length, why, exit) in [
            (changed, None, "has sha256:", Exit::Checksum),
            (longer.clone(), None, &*format!("has {} bytes, not {}", longer.len(), bytes.len()), Exit::BoxRefused),
            (bytes[..1 << 20].to_vec(), None, "bytes, not", Exit::BoxRefused),
            (bytes[..1 << 20].to_vec(), Some(bytes.len()), "was cut off at", Exit::Network),
        ] {
            let (shelf, size) = (shelf.clone(), bytes.len());
            let server = Server::start(move |request, _| {
                let reply = shelf.answer(request);
                let wanted = shelf.blobs.get(request.path.rsplit('/').next().unwrap());
                if wanted.is_none_or(|wanted| wanted.len() != size) {
                    return reply;
                }
                let reply = Reply::new(200, body.clone());
                length.map_or(reply.clone(), |length| reply.length(length))
            });
            let home = Home::new();
            let (message, code) = told(home.add(&oci(&server)).unwrap_err());
            assert!(message.contains(why), "{why}: {message}");
            assert_eq!(code, exit, "{message}");
            if exit != Exit::Network {
                home.assert_empty(why);
            }
        }
    }
}

#[test]
fn a_cut_layer_goes_on_where_it_ended() {
    let image = qcow2(5 << 20);
    let whole = config(&image, "qcow2");
    for ranges in [true, false] {
        let shelf = ours(&whole, &[Piece::of(&image, 0)]);
        let server = Server::start(move |request, before| {
            let reply = shelf.answer(request);
            let blob = shelf.blobs.get(request.path.rsplit('/').next().unwrap());
            match blob.filter(|blob| blob.len() > 1 << 20) {
                Some(_) if ranges => reply.cut(1 << 20),
                // One that knows no ranges sends all of it again, and gets further each time.
                Some(blob) => Reply::new(200, blob.clone()).cut((before - 1) << 20),
                None => reply,
            }
        });
        let home = Home::new();
        let installed = home.add(&oci(&server)).unwrap();
        assert_eq!(fs::read(&installed.disk_paths()[0]).unwrap(), image);
        let begun: Vec<_> = server.requests().iter().filter_map(Request::range).collect();
        assert_eq!(begun, (1..=5).map(|mib| mib << 20).collect::<Vec<_>>(), "what is missing is asked for");
    }
}

#[test]
fn the_next_run_fetches_only_the_pieces_that_are_missing() {
    let pieces: Vec<Vec<u8>> = (0..4u8).map(|n| qcow2(200_000 + usize::from(n) * 512)).collect();
    let image = pieces.concat();
    let mut offset = 0;
    let cut: Vec<Piece> = pieces
        .iter()
        .map(|piece| {
            let at = offset;
            offset += piece.len();
            Piece::of(piece, at)
        })
        .collect();
    let last = format!("sha256:{}", sha256(&cut[3].packed));
    let shelf = ours(&config(&image, "qcow2"), &cut);
    let broken = Arc::new(Mutex::new(true));
    let (is_broken, missing) = (Arc::clone(&broken), last.clone());
    let server = Server::start(move |request, _| {
        let fails = *is_broken.lock().unwrap() && request.path.ends_with(&missing);
        if fails { Reply::new(503, "") } else { shelf.answer(request) }
    });
    let home = Home::new();
    let error = home.add(&oci(&server)).unwrap_err();
    assert_eq!(error.exit(), Exit::Network, "{error}");
    assert_eq!(home.names(), Vec::<String>::new());
    *broken.lock().unwrap() = false;
    let before = server.requests().len();
    let installed = home.add(&oci(&server)).unwrap();
    assert_eq!(fs::read(&installed.disk_paths()[0]).unwrap(), image);
    let layers: Vec<String> = server.requests()[before..]
        .iter()
        .filter(|request| request.path.contains("/blobs/"))
        .map(|request| request.path.rsplit('/').next().unwrap().to_owned())
        .collect();
    assert!(layers.len() == 2 && layers.contains(&last), "the configuration and the missing layer: {layers:?}");
    assert_eq!(home.files().len(), 2, "{:?}", home.files());
}

/// A server that lets in whoever has the token of `issued`.
fn guarded(shelf: Shelf, realm: impl Fn() -> String + Send + Sync + 'static, token: &'static str) -> Server {
    Server::start(move |request, _| match request.header("authorization") {
        Some(given) if given == format!("Bearer {token}") => shelf.answer(request),
        _ => {
            let realm = realm();
            Reply::new(401, "").header("WWW-Authenticate", format!(r#"Bearer realm="{realm}",service="reg",scope="x""#))
        }
    })
}

fn small_box() -> Shelf {
    let image = qcow2(1000);
    ours(&config(&image, "qcow2"), &[Piece::of(&image, 0)])
}

#[test]
fn a_token_is_asked_for_once_with_the_login_and_for_our_own_scope() {
    let tokens = Server::start(|_, _| Reply::new(200, r#"{"token":"t0ken"}"#));
    let realm = tokens.url("/token");
    let server = guarded(small_box(), move || realm.clone(), "t0ken");
    let home = Home::new();
    home.add(&known(&server)).unwrap();
    let asked = tokens.requests();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].path, "/token?service=reg&scope=repository%3Aa%2Fweb%3Apull");
    assert_eq!(asked[0].header("authorization"), Some("Basic bWU6czNjcmV0"));
}

#[test]
fn logins_that_lead_nowhere_end() {
    let never = Server::start(|_, _| Reply::new(401, "").header("WWW-Authenticate", "Basic realm=x"));
    let no_token = Server::start(|_, _| Reply::new(200, "{}"));
    let denied = Server::start(|_, _| Reply::new(403, ""));
    let loops = Server::start(|_, _| Reply::new(200, r#"{"token":"wrong"}"#));
    let at = |server: &Server| {
        let realm = server.url("/t");
        guarded(small_box(), move || realm.clone(), "right")
    };
    let unencrypted = guarded(small_box(), || "http://tokens.example/t".into(), "right");
    let unknown = Server::start(|_, _| Reply::new(401, "").header("WWW-Authenticate", "Negotiate"));
    for (server, why) in [
        (&never, "does not let the user `me` read a/web"),
        (&at(&no_token), "the answer holds no token"),
        (&at(&denied), "does not let the user `me` read a/web"),
        (&at(&loops), "does not let the user `me` read a/web"),
        (&unencrypted, "which is not encrypted"),
        (&unknown, "names no way"),
    ] {
        let home = Home::new();
        let (message, exit) = told(home.add(&known(server)).unwrap_err());
        assert!(message.contains(why) && !message.contains("s3cret"), "{why}: {message}");
        assert_eq!(exit, Exit::Network);
        assert!(server.requests().len() <= 2, "{why}: {} requests", server.requests().len());
    }
}

#[test]
fn a_redirect_never_takes_the_token_along() {
    let shelf = small_box();
    let blobs = shelf.clone();
    // By its other name the same computer is another host.
    let elsewhere = Server::start(move |request, _| blobs.answer(request));
    let place = elsewhere.url("").replace("127.0.0.1", "localhost");
    let server = Server::start(move |request, _| match request.header("authorization") {
        None => Reply::new(401, "").header("WWW-Authenticate", "Basic"),
        Some(_) if request.path.contains("/blobs/") => Reply::redirect(format!("{place}{}", request.path)),
        Some(_) => shelf.answer(request),
    });
    let home = Home::new();
    home.add(&known(&server)).unwrap();
    let got = elsewhere.requests();
    assert_eq!(got.len(), 2, "configuration and layer");
    assert!(got.iter().all(|request| request.header("authorization").is_none()));
    for to in ["ftp://x/y", "", "/a/b"] {
        let server = Server::start(move |_, _| Reply::redirect(to));
        let (message, exit) = refused(&server);
        assert!(message.contains("redirects to"), "{message}");
        assert_eq!(exit, Exit::Network);
    }
}

#[test]
fn a_busy_registry_is_asked_again_and_its_words_are_shown() {
    let shelf = small_box();
    let busy =
        Server::start(
            move |request, before| {
                if before < 2 { Reply::new(429, "").header("Retry-After", "0") } else { shelf.answer(request) }
            },
        );
    Home::new().add(&oci(&busy)).unwrap();
    let broken = Server::start(|_, _| Reply::new(500, r#"{"errors":[{"message":"disk full\u001b[2J"}]}"#));
    let (message, exit) = refused(&broken);
    assert!(message.contains("the registry answered 500: disk full?[2J"), "{message}");
    assert_eq!((exit, broken.requests().len()), (Exit::Network, 3));
    let silent = Server::start(|_, _| Reply::new(200, "x").stall(0).length(10));
    assert!(refused(&silent).0.contains("stalled"));
}

#[test]
fn a_request_that_makes_no_sense_is_refused_before_any_work() {
    for (source, checksum, why) in [
        ("oci://host", None, "names no repository"),
        ("oci://me:s3cret@host/a", None, "a login does not belong there"),
        ("oci://127.0.0.1:1/a", Some("0".repeat(64)), "belongs into the reference"),
    ] {
        let home = Home::new();
        let (message, exit) = told(home.add(&AddRequest { checksum, ..pull_request(source) }).unwrap_err());
        assert!(message.contains(why) && !message.contains("s3cret"), "{message}");
        assert_eq!(exit, Exit::Usage);
    }
    let error: Error =
        Home::new().add(&AddRequest { tuning: impatient(), ..pull_request("oci://127.0.0.1:1/a") }).unwrap_err();
    assert_eq!(error.exit(), Exit::Network, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("--insecure")));
}
