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
}

fn row_line(row: &Value) -> String {
    let peer = row["peer"].as_str();
    let value = peer.map_or("–".into(), |_| format!("{:.3}", number(&row["ratio"])));
    let bound = number(&row["bound"]);
    let bound = if peer.is_some() { ((bound * 1000.0).round() / 1000.0).to_string() } else { time(bound) };
    let ours = spread(&row["ours_seconds"], &row["ours_median"]);
    let peer =
        peer.map_or("–".into(), |name| format!("{name}: {}", spread(&row["peer_seconds"], &row["peer_median"])));
    let rss = row["peak_rss_kib"].as_u64();
    let rss = rss.map_or("–".into(), |kib| format!("{}.{} MiB", kib / 1024, kib % 1024 * 10 / 1024));
    format!("{ours} | {peer} | {value} | ≤ {bound} | {} | {rss}", verdict(row))
}

fn size_line(size: &Value) -> String {
    let against = format!("{}: {}", text(&size["against"]), mebibytes(&size["against_bytes"]));
    let (bytes, ratio) = (mebibytes(&size["bytes"]), number(&size["ratio"]));
    format!("{bytes} | {against} | {ratio:.3} | ≤ {} | {}", size["bound"], verdict(size))
}

fn count_line(count: &Value) -> String {
    let peer = count["peer"].as_str().map_or("–".into(), |name| format!("{name}: {}", count["peer_count"]));
    format!("{} | {peer} | ≤ {} | {}", count["count"], count["bound"], verdict(count))
}

fn spread(samples: &Value, median: &Value) -> String {
    let samples: Vec<f64> = samples.as_array().into_iter().flatten().map(number).collect();
    let (low, high) = samples.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), n| (low.min(*n), high.max(*n)));
    format!("{} ({}–{}, n={})", time(number(median)), time(low), time(high), samples.len())
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn verdict(line: &Value) -> &str {
    if line["within"] == true { "yes" } else { "no" }
}

fn mebibytes(bytes: &Value) -> String {
    format!("{:.1} MiB", number(bytes) / f64::from(1 << 20))
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 { format!("{:.1} ms", seconds * 1000.0) } else { format!("{seconds:.2} s") }
}

/// The tables of the report: key in the JSON, head, and a line's cells between what it is and when it was measured.
type Table = (&'static str, &'static str, fn(&Value) -> String);
const TABLES: [Table; 3] = [
    ("rows", "what | vbox-rs | peer | ratio | bound | within | peak memory", row_line),
    ("sizes", "size | vbox-rs | against | ratio | bound | within", size_line),
    ("counts", "count | vbox-rs | peer | bound | within", count_line),
];

/// Writes `report.md` and `report.json` beside each other. With `keep`, lines of former runs that this one did not measure stay,
/// each with its own date.
pub fn report(folder: &Path, keep: bool, rows: &[Row], figures: &[Figure], counts: &[Count]) {
    let machine = machine();
    let former = fs::read(folder.join("report.json")).ok().filter(|_| keep);
    let former: Value = former.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
    let fresh = [
        rows.iter().map(Row::json).collect::<Vec<_>>(),
        figures.iter().map(Figure::json).collect(),
        counts.iter().map(Count::json).collect(),
    ];
    let mut json = json!({ "machine": machine });
    for ((key, ..), mut fresh) in TABLES.into_iter().zip(fresh) {
        for line in &mut fresh {
            line["measured"] = machine["date"].clone();
        }
        json[key] = merged(former[key].as_array().map_or(&[], Vec::as_slice), fresh).into();
    }
    let text = markdown(&json);
    fs::write(folder.join("report.md"), &text).unwrap();
    fs::write(folder.join("report.json"), serde_json::to_string_pretty(&json).unwrap() + "\n").unwrap();
    println!("{text}");
}

/// Lines of a former run in their order, each replaced where it was measured again, and what is new behind them.
fn merged(former: &[Value], mut fresh: Vec<Value>) -> Vec<Value> {
    let mut lines: Vec<Value> = Vec::new();
    for line in former {
        let again = fresh.iter().position(|fresh| fresh["what"] == line["what"]);
        lines.push(again.map_or_else(|| line.clone(), |index| fresh.remove(index)));
    }
    lines.extend(fresh);
    lines
}

fn markdown(json: &Value) -> String {
    let mut out = String::from("# What `make bench` measured\n\n");
    for (key, value) in json["machine"].as_object().into_iter().flatten() {
        writeln!(out, "- {key}: {}", text(value)).unwrap();
    }
    out.push_str(
        "\nEach pair was run in turn in one run; medians, with the lowest and highest in brackets. A ratio below 1 means \
         that vbox-rs is the faster.\n",
    );
    for (key, head, cells) in TABLES {
        let lines = json[key].as_array().map_or(&[][..], Vec::as_slice);
        if lines.is_empty() {
            continue;
        }
        let rule = "|---".repeat(head.split(" | ").count() + 1);
        writeln!(out, "\n| {head} | measured |\n{rule}|").unwrap();
        for line in lines {
            writeln!(out, "| {} | {} | {} |", text(&line["what"]), cells(line), text(&line["measured"])).unwrap();
        }
    }
    out
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
