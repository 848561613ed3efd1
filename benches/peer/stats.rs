//! Medians, spreads, ratios, and the report.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

/// Samples of one thing.
#[derive(Clone, Debug, Default)]
pub struct Samples(pub Vec<Duration>);

impl Samples {
    pub fn median(&self) -> f64 {
        let mut sorted: Vec<f64> = self.0.iter().map(Duration::as_secs_f64).collect();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    fn range(&self) -> (f64, f64) {
        let seconds = || self.0.iter().map(Duration::as_secs_f64);
        (seconds().fold(f64::INFINITY, f64::min), seconds().fold(0.0, f64::max))
    }
}

/// One line of the report.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Ours.
    pub ours: Samples,
    /// The peer's name and samples, taken in turn with ours.
    pub peer: Option<(String, Samples)>,
    /// The bound: a ratio where there is a peer, else seconds.
    pub bound: f64,
    /// Peak resident memory in KiB, where it was asked for.
    pub rss: Option<u64>,
}

impl Row {
    fn value(&self) -> f64 {
        match &self.peer {
            Some((_, peer)) => self.ours.median() / peer.median(),
            None => self.ours.median(),
        }
    }

    fn json(&self) -> Value {
        let seconds = |samples: &Samples| samples.0.iter().map(Duration::as_secs_f64).collect::<Vec<_>>();
        json!({
            "what": self.what, "ours_seconds": seconds(&self.ours), "ours_median": self.ours.median(),
            "peer": self.peer.as_ref().map(|(name, _)| name),
            "peer_seconds": self.peer.as_ref().map(|(_, samples)| seconds(samples)),
            "peer_median": self.peer.as_ref().map(|(_, samples)| samples.median()),
            "ratio": self.peer.as_ref().map(|_| self.value()), "bound": self.bound, "within": self.value() <= self.bound,
            "peak_rss_kib": self.rss,
        })
    }

    fn line(&self) -> String {
        let shown = |samples: &Samples| {
            let (low, high) = samples.range();
            format!("{} ({}–{}, n={})", time(samples.median()), time(low), time(high), samples.0.len())
        };
        let peer = self.peer.as_ref().map_or("–".into(), |(name, samples)| format!("{name}: {}", shown(samples)));
        let value = if self.peer.is_some() { format!("{:.3}", self.value()) } else { "–".into() };
        let bound =
            if self.peer.is_some() { format!("≤ {}", self.bound) } else { format!("≤ {}", time(self.bound)) };
        let verdict = if self.value() <= self.bound { "yes" } else { "no" };
        let rss = self.rss.map_or("–".into(), |kib| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024));
        format!("| {} | {} | {peer} | {value} | {bound} | {verdict} | {rss} |", self.what, shown(&self.ours))
    }
}

/// A size, compared with what it may be.
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// Bytes.
    pub bytes: u64,
    /// What it is compared with, and how large that is.
    pub against: (String, u64),
    /// The ratio that it may have.
    pub bound: f64,
}

impl Figure {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn ratio(&self) -> f64 {
        self.bytes as f64 / self.against.1 as f64
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what, "bytes": self.bytes, "against": self.against.0, "against_bytes": self.against.1,
            "ratio": self.ratio(), "bound": self.bound, "within": self.ratio() <= self.bound,
        })
    }

    fn line(&self) -> String {
        let (name, size) = &self.against;
        let (what, ours, peer) = (&self.what, mebibytes(self.bytes), mebibytes(*size));
        let verdict = if self.ratio() <= self.bound { "yes" } else { "no" };
        format!("| {what} | {ours} | {name}: {peer} | {:.3} | ≤ {} | {verdict} |", self.ratio(), self.bound)
    }
}

/// How often something was done, beside what a peer does and how often it may be.
pub struct Count {
    /// What was counted.
    pub what: String,
    /// How often by us.
    pub ours: usize,
    /// The peer's name and count.
    pub peer: Option<(String, usize)>,
    /// How often it may be.
    pub bound: usize,
}

impl Count {
    fn json(&self) -> Value {
        json!({
            "what": self.what, "count": self.ours, "peer": self.peer.as_ref().map(|(name, _)| name),
            "peer_count": self.peer.as_ref().map(|(_, count)| count), "bound": self.bound,
            "within": self.ours <= self.bound,
        })
    }

    fn line(&self) -> String {
        let peer = self.peer.as_ref().map_or("–".into(), |(name, count)| format!("{name}: {count}"));
        let verdict = if self.ours <= self.bound { "yes" } else { "no" };
        format!("| {} | {} | {peer} | ≤ {} | {verdict} |", self.what, self.ours, self.bound)
    }
}

#[expect(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}

/// Writes `report.md` and `report.json` beside each other.
pub fn report(folder: &Path, rows: &[Row], figures: &[Figure], counts: &[Count]) {
    let machine = machine();
    let mut text = String::from("# What `make bench` measured\n\n");
    for (key, value) in machine.as_object().into_iter().flatten() {
        writeln!(text, "- {key}: {}", value.as_str().unwrap_or_default()).unwrap();
    }
    text.push_str(
        "\nEach pair was run in turn in one run; medians, with the lowest and highest in brackets. A ratio below 1 means \
         that vbox-rs is the faster.\n\n| what | vbox-rs | peer | ratio | bound | within | peak memory \
         |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        writeln!(text, "{}", row.line()).unwrap();
    }
    if !figures.is_empty() {
        text.push_str("\n| size | vbox-rs | against | ratio | bound | within |\n|---|---|---|---|---|---|\n");
    }
    for figure in figures {
        writeln!(text, "{}", figure.line()).unwrap();
    }
    if !counts.is_empty() {
        text.push_str("\n| count | vbox-rs | peer | bound | within |\n|---|---|---|---|---|\n");
    }
    for count in counts {
        writeln!(text, "{}", count.line()).unwrap();
    }
    fs::write(folder.join("report.md"), &text).unwrap();
    let figures: Vec<_> = figures.iter().map(Figure::json).collect();
    let counts: Vec<_> = counts.iter().map(Count::json).collect();
    let rows: Vec<_> = rows.iter().map(Row::json).collect();
    let json = json!({ "machine": machine, "rows": rows, "sizes": figures, "counts": counts });
    fs::write(folder.join("report.json"), serde_json::to_string_pretty(&json).unwrap() + "\n").unwrap();
    println!("{text}");
}

fn machine() -> Value {
    let first = |program: &str, args: &[&str]| {
        let output = Command::new(program).args(args).output().ok();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        text.lines().next().unwrap_or_default().trim().to_owned()
    };
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    json!({
        "date": first("date", &["-u", "+%Y-%m-%d %H:%M UTC"]),
        "processor": format!("{} × {cores}", model.trim_start_matches([' ', '\t', ':'])),
        "memory": first("sh", &["-c", "awk '/MemTotal/ {printf \"%.0f GiB\", $2/1048576}' /proc/meminfo"]),
        "kernel": first("uname", &["-sr"]),
        "system": first("sh", &["-c", ". /etc/os-release; echo $PRETTY_NAME"]),
        "QEMU": first("qemu-system-x86_64", &["--version"]),
        "accelerator": if cpuinfo.contains(" vmx ") || cpuinfo.contains(" svm ") { "kvm" } else { "tcg (no hardware virtualisation here)" },
        "OpenSSH": first("sh", &["-c", "ssh -V 2>&1"]),
        "vbox-rs": first(env!("CARGO_BIN_EXE_vbox-rs"), &["--version"]),
    })
}
