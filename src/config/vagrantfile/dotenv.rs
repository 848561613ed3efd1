//! `config.env.enable`: the plugin vagrant-env reads the project's `.env` into `ENV`, and so do we.

use super::ruby::{Call, Interp, Name, Result, Value};

/// Larger than any such file.
const LIMIT: u64 = 64 << 10;

/// `enable` reads `.env`, `load` what it names. Variables that are set stay as they are.
pub fn call(ruby: &mut Interp, name: &str, call: &Call) -> Result<()> {
    let files = match name {
        "enable" => vec![".env".to_owned()],
        "load" => call.args.iter().filter_map(Value::text).map(|text| text.to_string()).collect(),
        _ => return Ok(()),
    };
    for file in files {
        let path = ruby.host.current_dir().join(&file);
        if !path.is_file() || !ruby.host.may_read(&path) {
            continue;
        }
        let Ok(Some(bytes)) = crate::store::read_bounded(&path, LIMIT) else {
            return Err(ruby.error("IOError", format!("`{file}` cannot be read, or is larger than {LIMIT} bytes")));
        };
        for (name, value) in variables(&String::from_utf8_lossy(&bytes)) {
            set(ruby, &name, value)?;
        }
    }
    Ok(())
}

fn set(ruby: &mut Interp, name: &str, value: String) -> Result<()> {
    let env = ruby.object.constants.borrow().get(&Name::of("ENV")).cloned().unwrap_or(Value::Nil);
    if ruby.send(&env, "[]", vec![Value::str(name)])?.is_nil() {
        ruby.send(&env, "[]=", vec![Value::str(name), Value::str(value)])?;
    }
    Ok(())
}

/// The lines `NAME=value`, with or without `export` and quotes.
fn variables(text: &str) -> Vec<(String, String)> {
    let line = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once(['=', ':'])?;
        let name = name.trim();
        crate::config::check::variable(name).then(|| (name.to_owned(), unquoted(value.trim())))
    };
    text.lines().filter(|text| !text.trim_start().starts_with('#')).filter_map(line).collect()
}

fn unquoted(value: &str) -> String {
    for quote in ['"', '\''] {
        if let Some((inner, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return if quote == '"' { inner.replace("\\n", "\n") } else { inner.to_owned() };
        }
    }
    // What follows ` #` is a comment.
    value.split(" #").next().unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_dotenv_file_are_read_as_people_write_them() {
        let text =
            "# a comment\nA=1\nexport B = 'two words' # why\nC=\"x\\ny\"\nD=plain # not this\nE: 5\nno line\n1X=2\n";
        let expected = [("A", "1"), ("B", "two words"), ("C", "x\ny"), ("D", "plain"), ("E", "5")];
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(variables(text), expected);
    }
}
