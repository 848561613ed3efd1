//! Settings of a box's `Vagrantfile`.
//!
//! `config` runs it, with no access to this computer. Where that fails, its plain lines are read: those that give a literal
//! to a setting. Such a line counts only where it stands in plain blocks (`do |config|`), never in a condition, a loop or a
//! method; whatever is not understood is passed over.

use super::Hardware;
use super::hardware::{self, CPUS_LIMIT, MEMORY_LIMIT};
use super::name::printable;
use crate::config;
use crate::config::spec::mac_address;
use crate::progress::Cx;

/// Larger than any Vagrantfile in a box.
pub const LIMIT: usize = 256 << 10;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Its machine.
    pub hardware: Hardware,
    /// Who logs in.
    pub user: Option<String>,
}

/// What a block's variable stands for.
#[derive(Clone, PartialEq, Eq)]
enum Scope {
    /// `Vagrant.configure("2") do |config|`.
    Config(String),
    /// `config.vm.provider "virtualbox" do |vb|`: variable and provider.
    Provider(String, String),
    /// Anything else: nothing in it counts.
    Other,
}

/// A value that stands there as it is.
enum Literal<'a> {
    Text(&'a str),
    Number(u64),
}

impl Defaults {
    /// What the file of a box for `provider` says, with the file that it includes. What is left out of it is told.
    pub fn read(cx: &Cx, bytes: &[u8], included: &[u8], provider: &str) -> Self {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Self::default();
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(LIMIT)]).into_owned();
        let included = Some(text(included)).filter(|text| !text.is_empty());
        let file = match config::read_box(&text(bytes), included.as_deref(), provider) {
            Ok(file) => file,
            Err(why) => {
                cx.warn(format!(
                    "the box's own Vagrantfile cannot be used ({}); its plain settings are, and nothing else of it",
                    printable(&why)
                ));
                return Self::parse(bytes, provider);
            }
        };
        if !file.left_out.is_empty() {
            cx.note(format!("of the box's own Vagrantfile is left out: {}", printable(&file.left_out.join("; "))));
        }
        let hardware = Hardware {
            cpus: file.cpus,
            memory: file.memory,
            mac: file.mac,
            firmware: file.firmware,
            disk_bus: file.disk_bus,
            nic: file.nic,
            guest_os: None,
            settings: Box::new(file.settings),
        };
        Self { hardware: hardware.checked(), user: file.user }
    }

    /// Reads the plain settings for boxes of `provider` (`vmware_desktop`'s names count as one).
    pub fn parse(bytes: &[u8], provider: &str) -> Self {
        let mut found = Self::default();
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(LIMIT)]);
        let mut scopes: Vec<Scope> = Vec::new();
        let mut is_comment = false;
        for line in text.lines() {
            match line.trim_end() {
                "=begin" => is_comment = true,
                "=end" => is_comment = false,
                "__END__" => break,
                _ if is_comment => {}
                // What follows is text, up to a word that only an interpreter finds safely.
                line if is_here_document(line) => break,
                line => found.line(without_comment(line).trim(), &mut scopes, provider),
            }
        }
        found
    }

    fn line(&mut self, line: &str, scopes: &mut Vec<Scope>, provider: &str) {
        if line == "end" || line.starts_with("end.") || line.starts_with("end ") {
            scopes.pop();
        } else if let Some(scope) = opened(line, scopes) {
            scopes.push(scope);
        } else if !scopes.contains(&Scope::Other)
            && let Some((path, value)) = assignment(line)
        {
            let (variable, setting) = path.split_once('.').unwrap_or((path, ""));
            let scope = scopes.iter().rev().find(|scope| match scope {
                Scope::Config(name) | Scope::Provider(name, _) => name == variable,
                Scope::Other => false,
            });
            match scope {
                Some(Scope::Config(_)) => self.of_config(setting, &value),
                Some(Scope::Provider(_, of)) if same_family(of, provider) => self.of_provider(setting, &value),
                _ => {}
            }
        }
    }

    fn of_config(&mut self, setting: &str, value: &Literal<'_>) {
        match (setting, value) {
            ("vm.base_mac", Literal::Text(text)) => self.hardware.mac = mac_address(text),
            ("ssh.username", Literal::Text(text)) => self.user = Some((*text).to_owned()),
            _ => {}
        }
    }

    fn of_provider(&mut self, setting: &str, value: &Literal<'_>) {
        let number = match value {
            Literal::Number(number) => Some(*number),
            Literal::Text(text) => text.parse().ok(),
        };
        let text = match value {
            Literal::Text(text) => text,
            Literal::Number(_) => "",
        };
        match setting {
            "memory" | "memsize" | "vmx[\"memsize\"]" | "vmx['memsize']" => {
                self.hardware.memory = number.filter(|memory| (1..=MEMORY_LIMIT).contains(memory));
            }
            "cpus" | "vmx[\"numvcpus\"]" | "vmx['numvcpus']" => {
                let cpus = number.and_then(|cpus| u32::try_from(cpus).ok());
                self.hardware.cpus = cpus.filter(|cpus| (1..=CPUS_LIMIT).contains(cpus));
            }
            "disk_bus" => self.hardware.disk_bus = hardware::disk_bus(text),
            "nic_model_type" | "default_nic_type" | "vmx[\"ethernet0.virtualDev\"]" | "vmx['ethernet0.virtualDev']" => {
                self.hardware.nic = hardware::nic(text);
            }
            _ => {}
        }
    }
}

fn same_family(one: &str, other: &str) -> bool {
    let family = |name: &str| match name {
        "qemu" | "libvirt" => "libvirt".to_owned(),
        name if name.starts_with("vmware") => "vmware".to_owned(),
        name => name.to_owned(),
    };
    family(one) == family(other)
}

/// What a line that opens a block stands for; `None` where it opens none.
fn opened(line: &str, scopes: &[Scope]) -> Option<Scope> {
    const OPENERS: &[&str] =
        &["if", "unless", "case", "while", "until", "for", "begin", "def", "class", "module", "do"];
    let first = line.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
    if OPENERS.contains(&first) {
        // One that ends in its own line opens nothing.
        return (!line.ends_with(" end")).then_some(Scope::Other);
    }
    let (head, variables) = match line.rsplit_once(" do") {
        Some((head, "")) => (head, ""),
        Some((head, rest)) => (head, rest.trim().strip_prefix('|')?.strip_suffix('|')?),
        // A condition on the right side of `=`, or a hash over several lines.
        None if ["= if ", "= case ", "= begin"].iter().any(|word| line.contains(word)) => return Some(Scope::Other),
        None => return None,
    };
    let variable = variables.split(',').next().unwrap_or_default().trim().to_owned();
    let (callee, argument) = head.split_once([' ', '(']).unwrap_or((head, ""));
    let argument = argument.split(',').next().unwrap_or_default().trim_end_matches(')').trim();
    let argument = argument.trim_matches(['"', '\'']).trim_start_matches(':').to_owned();
    let of_config = |callee: &str, ending: &str| {
        let variable = callee.strip_suffix(ending);
        variable.is_some_and(|name| scopes.contains(&Scope::Config(name.to_owned())))
    };
    Some(match callee {
        "Vagrant.configure" | "Vagrant::Config.run" => Scope::Config(variable),
        callee if of_config(callee, ".vm.provider") => Scope::Provider(variable, argument),
        _ => Scope::Other,
    })
}

/// `PATH = LITERAL` and nothing else on the line.
fn assignment(line: &str) -> Option<(&str, Literal<'_>)> {
    let (path, value) = line.split_once('=')?;
    let (path, value) = (path.trim(), value.trim());
    let plain = |c: char| c.is_alphanumeric() || "_.[]\"'".contains(c);
    if path.is_empty() || !path.chars().all(plain) {
        return None;
    }
    if let Ok(number) = value.replace('_', "").parse() {
        return Some((path, Literal::Number(number)));
    }
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let text = value.strip_prefix(quote)?.strip_suffix(quote)?;
    // Interpolation and escapes are an interpreter's part.
    let is_plain = !text.contains([quote, '\\']) && !text.contains("#{");
    is_plain.then_some((path, Literal::Text(text)))
}

fn is_here_document(line: &str) -> bool {
    line.match_indices("<<").any(|(at, _)| {
        let rest = line[at + 2..].trim_start_matches(['-', '~']);
        rest.starts_with(|c: char| c.is_ascii_uppercase() || matches!(c, '"' | '\''))
    })
}

/// A `#` outside of quotes begins a comment.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (c, quote) {
            ('#', None) => return &line[..at],
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::boxes::{DiskBus, Nic};
    use crate::progress::{Cancel, Event, Sink};

    #[test]
    fn literals_in_plain_blocks_count() {
        let text = r#"# -*- mode: ruby -*-
Vagrant::Config.run do |config|
  # This is set by `vagrant package`
  config.vm.base_mac = "080027A1B2C3" # first card
end
Vagrant.configure("2") do |config|
  config.ssh.username = 'admin'
  config.vm.provider :virtualbox do |vb, override|
    vb.memory = 1_024
    vb.cpus = "2"
    vb.customize ["modifyvm", :id, "--usb", "off"]
    override.vm.base_mac = "000000000001"
  end
  config.vm.provider "libvirt" do |libvirt|
    libvirt.memory = 4096
    libvirt.disk_bus = "sata"
    libvirt.nic_model_type = 'e1000'
  end
  config.vm.provider(:vmware_desktop) do |v|
    v.vmx["memsize"] = "512"
    v.vmx["ethernet0.virtualDev"] = "vmxnet3"
  end
end
"#;
        let found = Defaults::parse(text.as_bytes(), "virtualbox");
        assert_eq!(found.user.as_deref(), Some("admin"));
        assert_eq!(found.hardware.mac.as_deref(), Some("08:00:27:a1:b2:c3"));
        assert_eq!((found.hardware.memory, found.hardware.cpus), (Some(1024), Some(2)));
        let found = Defaults::parse(text.as_bytes(), "qemu").hardware;
        assert_eq!((found.memory, found.disk_bus, found.nic), (Some(4096), Some(DiskBus::Sata), Some(Nic::E1000)));
        let found = Defaults::parse(text.as_bytes(), "vmware_fusion").hardware;
        assert_eq!((found.memory, found.nic), (Some(512), Some(Nic::Vmxnet3)));
    }

    #[test]
    fn what_only_an_interpreter_knows_is_passed_over() {
        for line in [
            "config.vm.base_mac = ENV['MAC']",
            "config.vm.base_mac = \"0800#{x}\"",
            "config.vm.base_mac = \"080027A1B2C3\" if true",
            "# config.vm.base_mac = \"080027A1B2C3\"",
            "other.vm.base_mac = \"080027A1B2C3\"",
            "if x\n config.vm.base_mac = \"080027A1B2C3\"\nend",
            "x = if y\n config.vm.base_mac = \"080027A1B2C3\"\nend",
            "unless x\n if y\n end\n config.vm.base_mac = \"080027A1B2C3\"\nend",
            "3.times do |config|\n config.vm.base_mac = \"080027A1B2C3\"\nend",
            "def f(config)\n config.vm.base_mac = \"080027A1B2C3\"\nend",
            "x = <<-EOF\nconfig.vm.base_mac = \"080027A1B2C3\"\nEOF",
            "=begin\nconfig.vm.base_mac = \"080027A1B2C3\"\n=end",
            "__END__\nconfig.vm.base_mac = \"080027A1B2C3\"",
        ] {
            let text = format!("Vagrant.configure('2') do |config|\n{line}\nend\n");
            assert_eq!(Defaults::parse(text.as_bytes(), "libvirt"), Defaults::default(), "{line}");
        }
        let after = "Vagrant.configure('2') do |config|\n if x then y end\n config.vm.base_mac = '080027A1B2C3'\nend";
        assert!(Defaults::parse(after.as_bytes(), "libvirt").hardware.mac.is_some());
    }

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Sink for Heard {
        fn emit(&self, _: Option<&str>, event: &Event) {
            if let Event::Note(text) | Event::Warning(text) = event {
                self.0.lock().unwrap().push(text.clone());
            }
        }
    }

    fn read(text: &str, included: &str) -> (Defaults, Vec<String>) {
        let heard = Arc::new(Heard::default());
        let cx = Cx::new(Arc::clone(&heard) as Arc<dyn Sink>, Cancel::default());
        let found = Defaults::read(&cx, text.as_bytes(), included.as_bytes(), "virtualbox");
        let told = heard.0.lock().unwrap().clone();
        (found, told)
    }

    #[test]
    fn a_file_that_fails_is_told_and_read_by_its_plain_lines() {
        let text = "Vagrant.configure('2') do |config|\n  config.ssh.username = 'admin'\n  name = `id`\nend\n";
        let (found, told) = read(text, "");
        assert_eq!(found.user.as_deref(), Some("admin"));
        assert_eq!(
            told,
            [
                "the box's own Vagrantfile cannot be used (line 3: it wants to run a command on this computer: `id`); its \
              plain settings are, and nothing else of it"
            ]
        );
        let (found, told) = read("Vagrant.configure('2') do |config|\n  config.vm.network 'public_network'\nend", "");
        assert_eq!(found, Defaults::default());
        assert_eq!(
            told,
            ["of the box's own Vagrantfile is left out: a public network: a box does not choose networks"]
        );
    }

    #[test]
    fn a_file_is_run_with_what_it_includes() {
        let text = "x = 3\nVagrant.configure('2') { |config| config.vm.provider('virtualbox') { |v| v.cpus = x } }\n";
        let (found, told) = read(text, "Vagrant.configure('2') { |config| config.ssh.insert_key = false }\n");
        assert_eq!((found.hardware.cpus, found.hardware.settings.insert_key), (Some(3), Some(false)));
        assert_eq!(told, Vec::<String>::new());
        assert_eq!(read("  \n", "").1, Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(config\\.vm\\.|provider | do \\|v\\||end|if |=|\"|'|#|<<|\n|.){0,80}") {
            let _ = Defaults::parse(text.as_bytes(), "libvirt");
        }
    }
}
