use proptest::prelude::*;

use super::*;

const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const B: &str = "cb8379ac2098aa165029e3938a51da0bcecfc008fd6795f401178647f96c5b34";

fn sha512() -> String {
    "0f".repeat(64)
}

fn found(text: &str, file: &str) -> Option<String> {
    find(text, file).unwrap().map(|checksum| checksum.to_string())
}

#[test]
fn every_publishers_form_is_read() {
    let is_a = Some(format!("sha256:{A}"));
    for (publisher, text) in [
        ("Ubuntu", format!("{B} *other.img\n{A} *x.img\n")),
        ("Debian", format!("{B}  other.img\n{A}  x.img\n")),
        ("openSUSE 15", format!("{A} x.img\n")),
        ("Windows line ends", format!("{B}  other.img\r\n{A}  x.img\r\n")),
        ("a folder before it", format!("{A}  ./x.img\n{B}  ./other-x.img\n")),
        ("Fedora", format!("# x.img: 5 bytes\nSHA256 (x.img) = {A}\n# other: 1 bytes\nSHA256 (other) = {B}\n")),
        ("upper case", format!("{}  x.img", A.to_uppercase())),
        ("a byte order mark", format!("\u{feff}{A}  x.img")),
        ("a bare hash", format!("{A}\n")),
        ("md5 beside it", format!("{}  x.img\n{A}  x.img\n", "0".repeat(32))),
        (
            "clear-signed",
            format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# x\n- {A}  x.img\n- - {B}  y.img\n\
                 -----BEGIN PGP SIGNATURE-----\n\n{B}  x.img\n-----END PGP SIGNATURE-----\n"
            ),
        ),
        (
            "Ubuntu's index",
            format!(
                r#"{{"products":{{"a":{{"versions":{{"1":{{"items":{{"disk1.img":{{"path":"server/1/x.img","sha256":"{A}","md5":"1"}}}}}}}}}}}}}}"#
            ),
        ),
        ("Fedora's index", format!(r#"[{{"version":"40","link":"https://example.org/a/x.img","sha256":"{A}"}}]"#)),
        ("Oracle", format!(r#"{{"base_url":"https://example.org","kvm":[{{"image":"x.img","sha256":"{A}"}}]}}"#)),
    ] {
        assert_eq!(found(&text, "x.img"), is_a, "{publisher}");
    }
}

#[test]
fn debians_digest_is_base64_without_padding() {
    let encoded = "DDw8".repeat(21) + "DA";
    let text = format!(
        r#"{{"items":[{{"data":{{"ref":"bookworm/1/x.qcow2"}},"metadata":{{"annotations":{{"cloud.debian.org/digest":"sha512:{encoded}"}}}}}}]}}"#
    );
    let hex = found(&text, "x.qcow2").unwrap();
    assert!(hex.starts_with("sha512:0c3c3c0c3c3c"), "{hex}");
    assert_eq!(hex.len(), 7 + 128);
}

#[test]
fn what_is_not_listed_is_not_found() {
    for text in [
        String::new(),
        format!("{A}  x.img.xz\n{B}  my-x.img\n"),
        format!("{A}\n{B}\n"),
        format!("{}  x.img", &A[1..]),
        format!("SHA512 (x.img) = {A}"),
        "no sums today".into(),
        r#"{"path":"x.img","sha256":"short"}"#.into(),
    ] {
        assert_eq!(found(&text, "x.img"), None, "{text}");
    }
    assert_eq!(found(&format!("{A}  x.img"), ""), None);
}

#[test]
fn two_answers_for_one_file_are_refused() {
    let text = format!("{A}  x.img\n{B}  x.img\n");
    assert_eq!(find(&text, "x.img").unwrap_err().to_string(), "it lists two different checksums of `x.img`");
    assert!(found(&format!("{A}  x.img\n{A} *x.img\n"), "x.img").is_some());
    let both = format!("{A}  x.img\n{}  x.img\n{A} *x.img\n", sha512());
    assert_eq!(found(&both, "x.img"), Some(format!("sha512:{}", sha512())));
}

#[test]
fn what_is_no_file_of_checksums_is_refused() {
    for (text, why) in [
        ("<!DOCTYPE html><html>".to_owned(), "it is a web page, not a file of checksums"),
        ("\n  <html>".into(), "it is a web page, not a file of checksums"),
        ("a\0b".into(), "it is not text"),
        ("{".into(), "its JSON is broken"),
        ("[".repeat(10_000), "its JSON is broken"),
        ("x\n".repeat(100_002), "it has more than 100000 lines"),
    ] {
        let error = find(&text, "x").unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(\\PC|\n){0,200}", file in "\\PC{0,10}") {
        let _ = find(&text, &file);
    }

    #[test]
    fn what_the_commands_write_is_read(name in "[A-Za-z0-9._+~-]{1,40}", bytes in "[0-9a-f]{64}", other in "[0-9a-f]{64}") {
        prop_assume!(!name.starts_with('#'));
        for text in [
            format!("{other}  x{name}\n{bytes}  {name}\n"),
            format!("{bytes} *{name}\n"),
            format!("SHA256 (a{name}) = {other}\nSHA256 ({name}) = {bytes}\n"),
        ] {
            prop_assert_eq!(found(&text, &name), Some(format!("sha256:{bytes}")));
        }
    }
}
