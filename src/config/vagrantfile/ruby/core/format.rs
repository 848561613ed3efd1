//! `format`: text from a template with `%` directives.

use super::super::flow::Result;
use super::super::interp::Interp;
use super::super::show;
use super::super::value::Value;
use super::number::{float, int};
use super::string::text_arg;

/// No directive asks for more.
const WIDEST: usize = 10_000;

#[derive(Default)]
struct Directive {
    minus: bool,
    zero: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    name: Option<String>,
}

/// The first argument is the template.
pub fn format(ruby: &mut Interp, args: &[Value]) -> Result<String> {
    let Some((template, mut rest)) = args.split_first() else { return Err(ruby.argument_error(0, "1+")) };
    let template = text_arg(ruby, template)?;
    let mut chars = template.chars().peekable();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut directive = Directive::default();
        let kind = read(&mut chars, &mut directive, ruby, &mut rest)?;
        match kind {
            '%' | '\n' | '\0' => out.push('%'),
            '}' => {
                let value = named(ruby, args, &directive)?;
                let text = ruby.to_s(&value)?;
                out.push_str(&padded(&directive, text));
            }
            kind => {
                let value = match &directive.name {
                    Some(_) => named(ruby, args, &directive)?,
                    None => next(ruby, &mut rest)?,
                };
                out.push_str(&shown(ruby, &directive, kind, &value)?);
            }
        }
    }
    ruby.grow(out.len())?;
    Ok(out)
}

fn next(ruby: &mut Interp, rest: &mut &[Value]) -> Result<Value> {
    match rest.split_first() {
        Some((value, more)) => {
            *rest = more;
            Ok(value.clone())
        }
        None => Err(ruby.error("ArgumentError", "too few arguments")),
    }
}

fn named(ruby: &mut Interp, args: &[Value], directive: &Directive) -> Result<Value> {
    let name = directive.name.clone().unwrap_or_default();
    let found = match args.get(1) {
        Some(Value::Hash(hash)) => hash.get(&Value::sym(&name)),
        _ => return Err(ruby.error("ArgumentError", "one hash required")),
    };
    found.ok_or_else(|| ruby.error("KeyError", format!("key<{name}> not found")))
}

/// Reads flags, width, precision and name; returns the letter.
fn read(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    directive: &mut Directive,
    ruby: &mut Interp,
    rest: &mut &[Value],
) -> Result<char> {
    while let Some(c) = chars.next() {
        match c {
            '-' => directive.minus = true,
            '0' if directive.width == 0 && directive.precision.is_none() => directive.zero = true,
            '+' => directive.plus = true,
            ' ' => directive.space = true,
            '#' => directive.alternate = true,
            '0'..='9' => {
                let digit = c.to_digit(10).unwrap_or(0) as usize;
                let place = directive.precision.as_mut().unwrap_or(&mut directive.width);
                *place = place.saturating_mul(10).saturating_add(digit).min(WIDEST);
            }
            '.' => directive.precision = Some(0),
            '*' => {
                let value = next(ruby, rest)?;
                directive.width = usize::try_from(int(ruby, &value)?).unwrap_or(0).min(WIDEST);
            }
            '<' => directive.name = Some(chars.by_ref().take_while(|c| *c != '>').collect()),
            '{' => {
                directive.name = Some(chars.by_ref().take_while(|c| *c != '}').collect());
                return Ok('}');
            }
            letter => return Ok(letter),
        }
    }
    Ok('\0')
}

fn shown(ruby: &mut Interp, directive: &Directive, kind: char, value: &Value) -> Result<String> {
    let text = match kind {
        's' => cut(directive, ruby.to_s(value)?),
        'p' => cut(directive, show::inspect(value)),
        'c' => match value {
            Value::Int(code) => {
                u32::try_from(*code).ok().and_then(char::from_u32).map(String::from).unwrap_or_default()
            }
            other => ruby.to_s(other)?,
        },
        'd' | 'i' | 'u' | 'x' | 'X' | 'o' | 'b' | 'B' => return integer(ruby, directive, kind, value),
        'f' | 'e' | 'E' | 'g' | 'G' | 'a' => {
            let number = number(ruby, value)?;
            let precision = directive.precision.unwrap_or(6);
            let digits = match kind {
                'e' | 'E' => exponent(number.abs(), precision),
                'g' | 'G' => shortest(number.abs(), precision),
                _ => format!("{:.precision$}", number.abs()),
            };
            return Ok(signed(directive, number < 0.0, &digits));
        }
        other => return Err(ruby.error("ArgumentError", format!("malformed format string - %{other}"))),
    };
    Ok(padded(directive, text))
}

/// `%g`: so many digits in all, with an exponent where the number is very large or small.
fn shortest(number: f64, precision: usize) -> String {
    let precision = precision.max(1);
    let text = exponent(number, precision - 1);
    let (digits, power) = text.split_once('e').unwrap_or((&text, "+00"));
    let power: i64 = power.parse().unwrap_or(0);
    let trimmed = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    match usize::try_from(i64::try_from(precision).unwrap_or(6) - 1 - power) {
        Ok(after) if power >= -4 => trimmed(&format!("{number:.after$}")),
        _ => format!("{}e{}", trimmed(digits), &text[text.find('e').map_or(text.len(), |at| at + 1)..]),
    }
}

fn exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}

fn number(ruby: &mut Interp, value: &Value) -> Result<f64> {
    match value {
        Value::Int(_) | Value::Float(_) => Ok(float(value)),
        other => {
            let call = super::super::interp::Call::of(vec![other.clone()]);
            super::number::float_from(ruby, &call).map(|value| float(&value))
        }
    }
}

fn integer(ruby: &mut Interp, directive: &Directive, kind: char, value: &Value) -> Result<String> {
    let value = match value {
        Value::Float(number) => int(ruby, &Value::Float(number.floor()))?,
        other => {
            let call = super::super::interp::Call::of(vec![other.clone()]);
            let value = super::number::integer_from(ruby, &call)?;
            int(ruby, &value)?
        }
    };
    let size = value.unsigned_abs();
    let (prefix, digits) = match kind {
        'x' => ("0x", format!("{size:x}")),
        'X' => ("0X", format!("{size:X}")),
        'o' => ("0", format!("{size:o}")),
        'b' | 'B' => ("0b", format!("{size:b}")),
        _ => ("", size.to_string()),
    };
    let digits = match directive.precision {
        Some(precision) => format!("{digits:0>precision$}"),
        None => digits,
    };
    let digits = if directive.alternate { format!("{prefix}{digits}") } else { digits };
    Ok(signed(directive, value < 0, &digits))
}

fn signed(directive: &Directive, negative: bool, digits: &str) -> String {
    let sign = match (negative, directive.plus, directive.space) {
        (true, _, _) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    let width = directive.width.saturating_sub(sign.len());
    if directive.zero && !directive.minus {
        return format!("{sign}{digits:0>width$}");
    }
    padded(directive, format!("{sign}{digits}"))
}

fn cut(directive: &Directive, text: String) -> String {
    match directive.precision {
        Some(precision) => text.chars().take(precision).collect(),
        None => text,
    }
}

fn padded(directive: &Directive, text: String) -> String {
    let missing = directive.width.saturating_sub(text.chars().count());
    let blanks = " ".repeat(missing);
    if directive.minus { text + &blanks } else { blanks + &text }
}
