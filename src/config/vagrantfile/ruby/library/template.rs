//! Templates (ERB): their text becomes a program.

use super::super::show;

/// A piece of a template.
enum Piece<'a> {
    Text(String),
    Code(&'a str),
    Value(&'a str),
}

/// The program that makes a template's result. `mode` says what becomes of line ends: `-`, `<>`, `>`, and `%` for lines of
/// code.
pub fn program(template: &str, mode: &str) -> String {
    let mut out = String::from("_erbout = +''\n");
    for piece in pieces(template, mode) {
        match piece {
            Piece::Text(text) if text.is_empty() => {}
            Piece::Text(text) => {
                out.push_str("_erbout << ");
                out.push_str(&show::quoted(&text));
                out.push('\n');
            }
            Piece::Code(code) => {
                out.push_str(code);
                out.push('\n');
            }
            Piece::Value(code) => {
                out.push_str("_erbout << ((");
                out.push_str(code);
                out.push_str(").to_s)\n");
            }
        }
    }
    out + "_erbout\n"
}

fn pieces<'a>(template: &'a str, mode: &str) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    if !mode.contains('%') {
        tags(template, mode, &mut pieces);
        return pieces;
    }
    let mut rest = template;
    while !rest.is_empty() {
        // A tag may go over several lines: lines of code only count outside of them.
        let end = rest
            .match_indices('\n')
            .map(|(at, _)| at + 1)
            .find(|at| rest[*at..].starts_with('%') && !rest[*at..].starts_with("%%"));
        if let Some(code) = rest.strip_prefix('%').filter(|code| !code.starts_with('%')) {
            let (line, after) = code.split_once('\n').unwrap_or((code, ""));
            pieces.push(Piece::Code(line));
            rest = after;
            continue;
        }
        let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
        tags(part, mode, &mut pieces);
        rest = after;
    }
    pieces
}

fn tags<'a>(template: &'a str, mode: &str, pieces: &mut Vec<Piece<'a>>) {
    let mut rest = template;
    let mut text = String::new();
    while let Some(at) = rest.find("<%") {
        text.push_str(&rest[..at]);
        let inside = &rest[at + 2..];
        if let Some(literal) = inside.strip_prefix('%') {
            text.push_str("<%");
            rest = literal;
            continue;
        }
        let Some(end) = inside.find("%>") else {
            text.push_str(&rest[at..]);
            rest = "";
            break;
        };
        let (tag, mut after) = (&inside[..end], &inside[end + 2..]);
        let place = template.len() - rest.len() + at;
        let starts_line = place == 0 || template.as_bytes().get(place - 1) == Some(&b'\n');
        let (tag, trims_before) = match tag.strip_prefix('-') {
            Some(tag) if mode.contains('-') => (tag, true),
            _ => (tag, false),
        };
        let (tag, trims_after) = match tag.strip_suffix('-') {
            Some(tag) if mode.contains('-') => (tag, true),
            _ => (tag, false),
        };
        if trims_before {
            let kept = text.trim_end_matches([' ', '\t']).len();
            if text[..kept].ends_with('\n') || kept == 0 {
                text.truncate(kept);
            }
        }
        pieces.push(Piece::Text(std::mem::take(&mut text)));
        match (tag.strip_prefix('='), tag.strip_prefix('#')) {
            (Some(value), _) => pieces.push(Piece::Value(value)),
            (_, Some(_)) => {}
            _ => pieces.push(Piece::Code(tag)),
        }
        let whole_line = mode.contains("<>") && starts_line;
        if trims_after || whole_line || (mode.contains('>') && !mode.contains("<>")) {
            after = after.strip_prefix('\n').unwrap_or(after);
        }
        rest = after;
    }
    text.push_str(rest);
    pieces.push(Piece::Text(text.replace("%%>", "%>")));
}
