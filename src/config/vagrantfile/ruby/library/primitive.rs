//! What the libraries in `prelude` need and Ruby cannot say: `Primitive`, a module that programs have no use for.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::command;
use super::super::core::{int, text_arg, unpack};
use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::value::Value;
use super::clock::{self, Zone};
use super::{chance, eval};

fn numbers<T: Into<i64>>(all: impl IntoIterator<Item = T>) -> Value {
    Value::array(all.into_iter().map(|number| Value::Int(number.into())).collect())
}

fn texts(all: impl IntoIterator<Item = String>) -> Value {
    Value::array(all.into_iter().map(Value::str).collect())
}

/// Answers for `Primitive`.
pub fn call(ruby: &mut Interp, name: &str, call: &Call) -> Result<Option<Value>> {
    let value = match name {
        "time_now" | "time_zone" | "time_civil" | "time_seconds" | "time_show" => time(ruby, name, call)?,
        "address_parse" | "address_show" | "address_number" | "address_from" | "address_prefix" => {
            address(ruby, name, call)?
        }
        "random_bytes" => {
            let count = usize::try_from(int(ruby, &call.arg(0))?).unwrap_or(0);
            ruby.grow(count.saturating_mul(size_of::<Value>()))?;
            let bytes = (0..count).map(|_| chance::number(ruby).to_le_bytes()[0]);
            Value::array(bytes.map(|byte| Value::Int(byte.into())).collect())
        }
        "random" => chance::random(ruby, &call.arg(0))?,
        "base64" => {
            let bytes = bytes(ruby, &call.arg(0))?;
            STANDARD.encode(bytes).into()
        }
        "unbase64" => {
            let text = text_arg(ruby, &call.arg(0))?;
            match STANDARD.decode(text.trim()) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned().into(),
                Err(_) => return Err(ruby.error("ArgumentError", "invalid base64")),
            }
        }
        "unpack" => {
            let (bytes, rest) = (bytes(ruby, &call.arg(0))?, Call::of(vec![call.arg(1)]));
            Value::array(unpack(ruby, &bytes, &rest)?)
        }
        "text_of" => match String::from_utf8(bytes(ruby, &call.arg(0))?) {
            Ok(text) => text.into(),
            Err(_) => return Err(ruby.unsupported("a string of bytes that are no text")),
        },
        "unsupported" => {
            let what = text_arg(ruby, &call.arg(0))?;
            return Err(ruby.unsupported(what));
        }
        "unhex" => {
            let text = text_arg(ruby, &call.arg(0))?;
            let pairs = text.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
            numbers(pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()))
        }
        "digest" => {
            let (class, text) = (text_arg(ruby, &call.arg(0))?, text_arg(ruby, &call.arg(1))?);
            digest(ruby, &class, &text)?
        }
        "shell_words" => {
            let line = text_arg(ruby, &call.arg(0))?;
            match shell_words(&line) {
                Some(words) => texts(words),
                None => return Err(ruby.error("ArgumentError", format!("Unmatched quote: {line}"))),
            }
        }
        "template" => {
            let (text, mode) = (text_arg(ruby, &call.arg(0))?, text_arg(ruby, &call.arg(1))?);
            super::template::program(&text, &mode).into()
        }
        "empty_binding" => eval::empty(ruby),
        "connect" => {
            let to = ruby.to_s(&call.arg(0))?;
            return Err(ruby.never(format!("it wants to reach the network: {to}")));
        }
        "processors" => command::processors().into(),
        "user" => look(ruby).and_then(|()| command::user_name(&*ruby.host)).into(),
        "accounts" | "groups" => {
            let list = if name == "groups" { "/etc/group" } else { "/etc/passwd" };
            let lines = look(ruby).and_then(|()| std::fs::read_to_string(list).ok()).unwrap_or_default();
            Value::array(lines.lines().map(|line| texts(line.split(':').map(String::from))).collect())
        }
        "addresses" => {
            let table =
                look(ruby).and_then(|()| std::fs::read_to_string("/proc/net/fib_trie").ok()).unwrap_or_default();
            texts(own_addresses(&table))
        }
        _ => return Ok(None),
    };
    Ok(Some(value))
}

fn look(ruby: &Interp) -> Option<()> {
    ruby.host.may_look().then_some(())
}

fn bytes(ruby: &mut Interp, value: &Value) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for item in ruby.items_of(value)? {
        bytes.push(u8::try_from(int(ruby, &item)?).unwrap_or(0));
    }
    Ok(bytes)
}

/// The zone of this computer, as far as the program may know it.
pub fn local_zone(ruby: &Interp, at: i64) -> Zone {
    if ruby.host.may_look() { Zone::local(at, ruby.host.env("TZ").as_deref()) } else { Zone::utc() }
}

fn time(ruby: &mut Interp, name: &str, call: &Call) -> Result<Value> {
    if name == "time_now" {
        let (seconds, nanoseconds) = clock::now();
        return Ok(numbers([seconds, nanoseconds.into()]));
    }
    let mut given = Vec::new();
    for arg in call.args.iter().take(6).filter(|arg| matches!(arg, Value::Int(_) | Value::Float(_))) {
        let number = int(ruby, arg)?;
        if number.abs() > clock::FARTHEST {
            return Err(ruby.error("RangeError", "a time this far away"));
        }
        given.push(number);
    }
    Ok(match (name, given.as_slice()) {
        ("time_zone", [at, ..]) => {
            let zone = local_zone(ruby, *at);
            Value::array(vec![zone.offset.into(), zone.name.into()])
        }
        ("time_civil", [at, ..]) => {
            let time = clock::civil(*at);
            let (date, clock) = ([time.year, time.month, time.day], [time.hour, time.minute, time.second]);
            numbers(date.into_iter().chain(clock).chain([time.weekday, time.day_of_year]))
        }
        ("time_seconds", [year, month, day, hour, minute, second]) => {
            if year.abs() > 3000 || !(1..=13).contains(month) || !(1..=31).contains(day) {
                return Err(ruby.error("ArgumentError", "argument out of range"));
            }
            let (year, month) = if *month == 13 { (year + 1, 1) } else { (*year, *month) };
            clock::seconds(year, month, *day, *hour % 100, *minute % 100, *second % 100).into()
        }
        ("time_show", [at, nanoseconds, offset]) => {
            let zone = Zone { offset: *offset, name: text_arg(ruby, &call.arg(3))? };
            let format = text_arg(ruby, &call.arg(4))?;
            let moment = (*at, u32::try_from(*nanoseconds).unwrap_or(0));
            match clock::strftime(moment, &zone, &format) {
                Some(text) => text.into(),
                None => return Err(ruby.error("ArgumentError", format!("invalid format: {format}"))),
            }
        }
        _ => return Err(ruby.error("ArgumentError", "argument out of range")),
    })
}

fn address(ruby: &mut Interp, name: &str, call: &Call) -> Result<Value> {
    let parts = |address: IpAddr| match address {
        IpAddr::V4(address) => numbers(address.octets()),
        IpAddr::V6(address) => numbers(address.octets()),
    };
    Ok(match name {
        "address_parse" => {
            let text = text_arg(ruby, &call.arg(0))?;
            text.parse().map_or(Value::Nil, parts)
        }
        "address_prefix" => {
            let text = text_arg(ruby, &call.arg(0))?;
            let bits = text.parse::<std::net::Ipv4Addr>().map(u32::from);
            match bits {
                Ok(bits) if bits.leading_ones() == bits.count_ones() => i64::from(bits.count_ones()).into(),
                _ => Value::Nil,
            }
        }
        "address_from" => {
            let number = int(ruby, &call.arg(0))?;
            match (u32::try_from(number), call.arg(1)) {
                (Ok(number), Value::Int(2)) => parts(IpAddr::V4(number.into())),
                (Err(_), Value::Int(2)) => {
                    return Err(ruby.error("IPAddr::InvalidAddressError", format!("invalid address: {number}")));
                }
                _ => parts(IpAddr::V6(u128::from(number.unsigned_abs()).into())),
            }
        }
        "address_number" => {
            let bytes = bytes(ruby, &call.arg(0))?;
            bytes.iter().fold(0i64, |sum, byte| (sum << 8) | i64::from(*byte)).into()
        }
        _ => {
            let bytes = bytes(ruby, &call.arg(0))?;
            match (<[u8; 4]>::try_from(bytes.as_slice()), <[u8; 16]>::try_from(bytes.as_slice())) {
                (Ok(bytes), _) => IpAddr::from(bytes).to_string().into(),
                (_, Ok(bytes)) => IpAddr::from(bytes).to_string().into(),
                _ => Value::Nil,
            }
        }
    })
}

fn digest(ruby: &mut Interp, class: &str, text: &str) -> Result<Value> {
    use sha2::Digest as _;
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    let hex = |bytes: &[u8]| bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect::<String>();
    Ok(match class {
        "Digest::MD5" => hex(&md5::Md5::digest(text)),
        "Digest::SHA1" => hex(&sha1::Sha1::digest(text)),
        "Digest::SHA256" => hex(&sha2::Sha256::digest(text)),
        "Digest::SHA384" => hex(&sha2::Sha384::digest(text)),
        "Digest::SHA512" => hex(&sha2::Sha512::digest(text)),
        other => return Err(ruby.unsupported(format!("`{other}`"))),
    }
    .into())
}

/// `Shellwords.split`.
fn shell_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' | '"' => {
                let place = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        end if end == c => break,
                        '\\' if c == '"' => place.extend(chars.next()),
                        other => place.push(other),
                    }
                }
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

/// The computer's own addresses: those that the kernel's table calls its own.
fn own_addresses(table: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut last = None;
    for line in table.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            last = Some(address);
        } else if line == "/32 host LOCAL"
            && let Some(address) = last
            && !found.iter().any(|other| other == address)
        {
            found.push(address.to_owned());
        }
    }
    found
}
