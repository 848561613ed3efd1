//! Sizes of memory and disks.
//!
//! Units are powers of 1024, with or without the `i` and the `B` (`2G`, `2GB`, `2GiB`, `2 gb`): that is what Vagrant's
//! own `size: "20GB"` means, and what memory and virtual disks are counted in. A bare number counts MiB, as `memory` does
//! in Vagrant.

/// Bytes of a MiB.
pub const MIB: u64 = 1 << 20;

/// No memory and no disk is larger (1 PiB): beyond it stands a number of bytes where MiB are counted.
const LARGEST: u64 = 1 << 30;

const NOT_WHOLE: &str = "not a whole number of MiB";

/// Reads a size as MiB, or says what is wrong with it.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') || (number.contains('.') && fraction.is_empty()) {
        return Err("expected a number and a unit".into());
    }
    let unit = bytes_of(unit.trim()).ok_or_else(|| format!("unknown unit `{}`", unit.trim()))?;
    let bytes = scaled(whole, fraction, unit)?;
    if bytes % u128::from(MIB) != 0 {
        return Err(NOT_WHOLE.into());
    }
    u64::try_from(bytes / u128::from(MIB)).map_err(|_| "far too large".into()).and_then(check)
}

/// Checks a number of MiB.
pub fn check(mib: u64) -> Result<u64, String> {
    match mib {
        0 => Err("must be at least 1 MiB".into()),
        1..=LARGEST => Ok(mib),
        _ => Err("more than 1024 TiB; a number without a unit counts MiB".into()),
    }
}

/// As people write it, in the largest unit that keeps it whole.
pub fn show(mib: u64) -> String {
    let (mut value, mut units) = (mib, ["MiB", "GiB", "TiB"].iter().peekable());
    loop {
        let unit = units.next().unwrap_or(&"TiB");
        if value == 0 || value % 1024 != 0 || units.peek().is_none() {
            return format!("{value} {unit}");
        }
        value /= 1024;
    }
}

fn bytes_of(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    if unit.is_empty() {
        return Some(MIB);
    }
    if matches!(unit.as_str(), "b" | "byte" | "bytes") {
        return Some(1);
    }
    let power = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    Some(1 << (10 * power))
}

/// `whole.fraction` times `unit`, in bytes.
fn scaled(whole: &str, fraction: &str, unit: u64) -> Result<u128, &'static str> {
    let too_large = "far too large";
    // 20 digits are beyond any size; with this bound nothing below overflows.
    if whole.trim_start_matches('0').len() > 20 || fraction.len() > 20 {
        return Err(too_large);
    }
    let number = |digits: &str| if digits.is_empty() { Ok(0) } else { digits.parse::<u128>().map_err(|_| too_large) };
    let whole = number(whole)?.checked_mul(unit.into()).ok_or(too_large)?;
    let part = number(fraction)?.checked_mul(unit.into()).ok_or(too_large)?;
    let tens = fraction.bytes().fold(1_u128, |tens, _| tens * 10);
    if part % tens != 0 {
        return Err(NOT_WHOLE);
    }
    whole.checked_add(part / tens).ok_or(too_large)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_read_as_vagrant_users_write_them() {
        for (text, mib) in [
            ("2 GiB", 2048),
            ("2048M", 2048),
            ("2048", 2048),
            ("2GB", 2048),
            ("2 gb", 2048),
            ("1.5 GiB", 1536),
            (" 20G ", 20480),
            ("1T", 1 << 20),
            ("1048576 KiB", 1024),
            ("1073741824 B", 1024),
            ("512 MiB", 512),
            ("0.5G", 512),
        ] {
            assert_eq!(parse(text), Ok(mib), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_told() {
        for (text, message) in [
            ("", "expected a number and a unit"),
            ("GiB", "expected a number and a unit"),
            ("-1", "expected a number and a unit"),
            ("1.", "expected a number and a unit"),
            (".5G", "expected a number and a unit"),
            ("1.2.3G", "expected a number and a unit"),
            ("2 gigs", "unknown unit `gigs`"),
            ("2 GiB of RAM", "unknown unit `GiB of RAM`"),
            ("2 PB", "unknown unit `PB`"),
            ("1000 KB", "not a whole number of MiB"),
            ("1.3 GiB", "not a whole number of MiB"),
            ("0.99999999999999 M", "not a whole number of MiB"),
            ("0.00000000000001 M", "not a whole number of MiB"),
            ("0 GiB", "must be at least 1 MiB"),
            ("2147483648", "more than 1024 TiB; a number without a unit counts MiB"),
            ("99999999999999999999 T", "far too large"),
            ("340282366920938463463374607431768211456 T", "far too large"),
        ] {
            assert_eq!(parse(text), Err(message.into()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_size_is_read_back(mib in 1..=LARGEST) {
            prop_assert_eq!(parse(&show(mib)), Ok(mib));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*", digits in "[0-9.]{0,60} ?[a-zA-Z]{0,4}") {
            let _ = parse(&text);
            let _ = parse(&digits);
        }
    }
}
