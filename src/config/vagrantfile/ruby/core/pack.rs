//! `pack` and `unpack`: numbers and texts as bytes, as a template says. Strings are text here, so that bytes which are none
//! become a value of their own, `PackedBytes` (`library/prelude/pack.rb`), which knows what is done with such.

use super::super::flow::Result;
use super::super::interp::{Call, Interp};
use super::super::value::{Array, Value};
use super::number::int;
use super::string::text_arg;

/// A letter of a template, and how often it counts.
struct Directive {
    letter: char,
    count: Count,
    big: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Count {
    One,
    Some(usize),
    All,
}

impl Count {
    /// Of `all` that there are.
    fn of(self, all: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Some(count) => count,
            Self::All => all,
        }
    }
}

/// Bytes of a text that `m` puts on one line, where its count says nothing else.
const LINE: usize = 45;

/// Letters that stand for integers: how many bytes, whether the first is the highest, whether they have a sign.
const INTEGERS: &[(char, usize, bool, bool)] = &[
    ('C', 1, false, false),
    ('c', 1, false, true),
    ('n', 2, true, false),
    ('N', 4, true, false),
    ('v', 2, false, false),
    ('V', 4, false, false),
    ('S', 2, false, false),
    ('s', 2, false, true),
    ('L', 4, false, false),
    ('l', 4, false, true),
    ('Q', 8, false, false),
    ('q', 8, false, true),
];

fn directives(ruby: &mut Interp, template: &str) -> Result<Vec<Directive>> {
    let mut all = Vec::new();
    let mut letters = template.chars().filter(|c| !c.is_whitespace()).peekable();
    while let Some(letter) = letters.next() {
        let integer = INTEGERS.iter().find(|(known, ..)| *known == letter);
        if integer.is_none() && !"aAZBbHhUmx".contains(letter) {
            return Err(ruby.unsupported(format!("`{letter}` in a template of `pack` or `unpack`")));
        }
        let ordered = "SsLlQq".contains(letter);
        let order = letters.next_if(|c| ordered && matches!(c, '<' | '>'));
        let big = order.map_or(integer.is_some_and(|(_, _, big, _)| *big), |order| order == '>');
        let mut digits = String::new();
        while let Some(digit) = letters.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        let count = match digits.parse() {
            Ok(count) => Count::Some(count),
            Err(_) if !digits.is_empty() => return Err(ruby.error("RangeError", "pack length too big")),
            Err(_) if letters.next_if_eq(&'*').is_some() => Count::All,
            Err(_) => Count::One,
        };
        all.push(Directive { letter, count, big });
    }
    Ok(all)
}

/// `[192, 168].pack("C*")`.
pub fn pack(ruby: &mut Interp, me: &Array, call: &Call) -> Result<Value> {
    let template = text_arg(ruby, &call.arg(0))?;
    let mut items = me.items.borrow().clone().into_iter();
    let mut bytes = Vec::new();
    let directives = directives(ruby, &template)?;
    let is_text = directives.first().is_some_and(|first| first.letter == 'U');
    for directive in directives {
        pack_one(ruby, &mut items, &directive, &mut bytes)?;
    }
    match String::from_utf8(bytes) {
        Ok(text) if is_text || text.is_ascii() => Ok(Value::str(text)),
        Ok(text) => value(ruby, text.into_bytes()),
        Err(other) => value(ruby, other.into_bytes()),
    }
}

fn next(ruby: &mut Interp, items: &mut impl Iterator<Item = Value>) -> Result<Value> {
    items.next().ok_or_else(|| ruby.error("ArgumentError", "too few arguments"))
}

fn pack_one(
    ruby: &mut Interp,
    items: &mut std::vec::IntoIter<Value>,
    directive: &Directive,
    bytes: &mut Vec<u8>,
) -> Result<()> {
    let Directive { letter, count, big } = *directive;
    if letter == 'x' {
        let zeros = count.of(0);
        ruby.grow(zeros)?;
        bytes.resize(bytes.len() + zeros, 0);
        return Ok(());
    }
    if letter == 'U' {
        for _ in 0..count.of(items.len()) {
            let number = next(ruby, items)?;
            let number = int(ruby, &number)?;
            let Some(c) = u32::try_from(number).ok().and_then(char::from_u32) else {
                return Err(ruby.error("RangeError", "pack(U): value out of range"));
            };
            ruby.grow(c.len_utf8())?;
            bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
        }
        return Ok(());
    }
    if let Some((_, width, ..)) = INTEGERS.iter().find(|(known, ..)| *known == letter) {
        for _ in 0..count.of(items.len()) {
            let number = next(ruby, items)?;
            let mut number = int(ruby, &number)?.to_le_bytes()[..*width].to_vec();
            if big {
                number.reverse();
            }
            ruby.grow(*width)?;
            bytes.extend(number);
        }
        return Ok(());
    }
    let item = next(ruby, items)?;
    let text = bytes_of(ruby, &item)?;
    ruby.grow(text.len().saturating_mul(2))?;
    match letter {
        'm' => bytes.extend(base64(&text, count)),
        'H' | 'h' | 'B' | 'b' => {
            let digits = count.of(text.len());
            ruby.grow(digits)?;
            bytes.extend(digits_in(&text, letter, digits));
        }
        _ => {
            let length = count.of(text.len() + usize::from(letter == 'Z'));
            ruby.grow(length)?;
            let end = bytes.len() + length;
            bytes.extend(text.iter().take(length));
            bytes.resize(end, if letter == 'A' { b' ' } else { 0 });
        }
    }
    Ok(())
}

/// A text's bytes; none of `nil`.
fn bytes_of(ruby: &mut Interp, value: &Value) -> Result<Vec<u8>> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::Object(_) if &**ruby.class_of(value).name.borrow() == "PackedBytes" => {
            let Value::Array(bytes) = ruby.send(value, "bytes", Vec::new())? else { return Ok(Vec::new()) };
            let bytes = bytes.items.borrow().clone();
            bytes.iter().map(|byte| Ok(int(ruby, byte)?.to_le_bytes()[0])).collect()
        }
        other => Ok(text_arg(ruby, other)?.into_bytes()),
    }
}

fn base64(text: &[u8], count: Count) -> Vec<u8> {
    use base64::Engine as _;
    let encode = |part: &[u8]| base64::engine::general_purpose::STANDARD.encode(part).into_bytes();
    let line = match count {
        Count::Some(0) => return encode(text),
        Count::Some(count) if count > 2 => count / 3 * 3,
        _ => LINE,
    };
    text.chunks(line).flat_map(|part| [encode(part), vec![b'\n']].concat()).collect()
}

/// Bits of a digit of `H`, `h` (sixteen) or `B`, `b` (two), and whether the first is the highest.
fn digit_kind(letter: char) -> (usize, bool) {
    (if letter.eq_ignore_ascii_case(&'h') { 4 } else { 1 }, letter.is_ascii_uppercase())
}

/// Bytes that are written as digits.
fn digits_in(text: &[u8], letter: char, count: usize) -> Vec<u8> {
    let (bits, high_first) = digit_kind(letter);
    let each = 8 / bits;
    let digit = |c: u8| match bits {
        4 if c.is_ascii_alphabetic() => ((c & 7) + 9) & 15,
        4 => c & 15,
        _ => c & 1,
    };
    let place = |at: usize| if high_first { 8 - bits * (at + 1) } else { bits * at };
    let mut bytes: Vec<u8> = text[..count.min(text.len())]
        .chunks(each)
        .map(|part| part.iter().enumerate().fold(0, |byte, (at, c)| byte | digit(*c) << place(at)))
        .collect();
    bytes.resize(count.div_ceil(each), 0);
    bytes
}

/// Bytes as digits.
fn digits_of(bytes: &[u8], letter: char, count: usize) -> String {
    let (bits, high_first) = digit_kind(letter);
    let place = |at: usize| if high_first { 8 - bits * (at + 1) } else { bits * at };
    let mask = (1u32 << bits) - 1;
    let each = |byte: &u8| {
        let byte = u32::from(*byte);
        (0..8 / bits).filter_map(move |at| char::from_digit(byte >> place(at) & mask, 16)).collect::<Vec<_>>()
    };
    bytes.iter().flat_map(each).take(count).collect()
}

/// Bytes as a program gets them: text, where they are plain text.
fn value(ruby: &mut Interp, bytes: Vec<u8>) -> Result<Value> {
    ruby.grow(bytes.len().saturating_mul(size_of::<Value>()))?;
    match String::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Ok(Value::str(text)),
        Ok(text) => packed(ruby, text.as_bytes()),
        Err(other) => packed(ruby, other.as_bytes()),
    }
}

fn packed(ruby: &mut Interp, bytes: &[u8]) -> Result<Value> {
    let class = ruby.top_constant("PackedBytes")?;
    let bytes = bytes.iter().map(|byte| Value::Int((*byte).into())).collect();
    ruby.send(&class, "new", vec![Value::array(bytes)])
}

/// `text.unpack("C4")`.
pub fn unpack(ruby: &mut Interp, bytes: &[u8], call: &Call) -> Result<Vec<Value>> {
    if call.keyword("offset").is_some() || call.block.is_some() {
        return Err(ruby.unsupported("`unpack` from a place in the middle, or with a block"));
    }
    let template = text_arg(ruby, &call.arg(0))?;
    let (mut rest, mut found) = (bytes, Vec::new());
    for directive in directives(ruby, &template)? {
        unpack_one(ruby, &mut rest, &directive, &mut found)?;
    }
    Ok(found)
}

/// The next bytes, as many as there are.
fn take<'a>(rest: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (part, after) = rest.split_at(length.min(rest.len()));
    *rest = after;
    part
}

fn unpack_one(ruby: &mut Interp, rest: &mut &[u8], directive: &Directive, found: &mut Vec<Value>) -> Result<()> {
    let Directive { letter, count, big } = *directive;
    if let Some((_, width, _, signed)) = INTEGERS.iter().find(|(known, ..)| *known == letter) {
        for _ in 0..count.of(rest.len() / width) {
            ruby.grow(size_of::<Value>())?;
            let whole = rest.len() >= *width;
            let part = take(rest, if whole { *width } else { 0 });
            found.push(if whole { number(ruby, part, big, *signed)? } else { Value::Nil });
        }
        return Ok(());
    }
    let one = match letter {
        'x' => {
            let length = count.of(rest.len());
            if length > rest.len() {
                return Err(ruby.error("ArgumentError", "x outside of string"));
            }
            take(rest, length);
            return Ok(());
        }
        'U' => return characters(ruby, rest, count, found),
        'm' => {
            let part = take(rest, usize::MAX);
            let bytes = if count == Count::Some(0) { strict(ruby, part)? } else { lenient(part) };
            value(ruby, bytes)?
        }
        'H' | 'h' | 'B' | 'b' => {
            let each = 8 / digit_kind(letter).0;
            let digits = count.of(rest.len() * each);
            let part = take(rest, digits.div_ceil(each));
            ruby.grow(part.len() * each)?;
            Value::str(digits_of(part, letter, digits))
        }
        'Z' if count == Count::All => {
            let end = rest.iter().position(|byte| *byte == 0);
            let part = take(rest, end.map_or(usize::MAX, |end| end + 1));
            value(ruby, part[..end.unwrap_or(part.len())].to_vec())?
        }
        _ => {
            let part = take(rest, count.of(usize::MAX));
            let end = match letter {
                'A' => part.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(0, |last| last + 1),
                'Z' => part.iter().position(|byte| *byte == 0).unwrap_or(part.len()),
                _ => part.len(),
            };
            value(ruby, part[..end].to_vec())?
        }
    };
    found.push(one);
    Ok(())
}

fn number(ruby: &mut Interp, bytes: &[u8], big: bool, signed: bool) -> Result<Value> {
    let width = bytes.len();
    let mut whole = [0; 8];
    for (at, byte) in bytes.iter().enumerate() {
        whole[if big { width - 1 - at } else { at }] = *byte;
    }
    let unused = 64 - 8 * u32::try_from(width).unwrap_or(8);
    let number = u64::from_le_bytes(whole);
    if signed {
        return Ok(Value::Int((number << unused).cast_signed() >> unused));
    }
    i64::try_from(number).map(Value::Int).map_err(|_| ruby.unsupported("a number this large"))
}

fn characters(ruby: &mut Interp, rest: &mut &[u8], count: Count, found: &mut Vec<Value>) -> Result<()> {
    let Ok(text) = std::str::from_utf8(rest) else {
        return Err(ruby.error("ArgumentError", "malformed UTF-8 character"));
    };
    for c in text.chars().take(count.of(usize::MAX)) {
        ruby.grow(size_of::<Value>())?;
        found.push(Value::Int(u32::from(c).into()));
        *rest = &rest[c.len_utf8()..];
    }
    Ok(())
}

fn strict(ruby: &mut Interp, text: &[u8]) -> Result<Vec<u8>> {
    use base64::Engine as _;
    let decoded = base64::engine::general_purpose::STANDARD.decode(text);
    decoded.map_err(|_| ruby.error("ArgumentError", "invalid base64"))
}

/// What is no digit is passed over.
fn lenient(text: &[u8]) -> Vec<u8> {
    let digit = |c: &u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u8> = text.iter().take_while(|c| **c != b'=').filter_map(digit).collect();
    let whole = |part: &[u8]| {
        let all = part.iter().fold(0u32, |all, digit| all << 6 | u32::from(*digit)) << (6 * (4 - part.len()));
        all.to_be_bytes()[1..part.len()].to_vec()
    };
    digits.chunks(4).flat_map(whole).collect()
}
