//! `make bench`: vbox-rs against the bare tools, taken in turn in one run. Writes `benches/report.md` and `.json`.
//!
//! `VBOX_RS_TEST_BOX` names the demo box (`make bench` builds it and sets it). `VBOX_RS_BENCH_ROUNDS` (5) is the number
//! of slow rounds, quick ones are five times as many. `VBOX_RS_BENCH_ONLY` names parts: quick, ssh, boot, add, parallel,
//! pipeline, vagrant, convert, thousand, ruby, virtualbox, libvirt, sizes. `VBOX_RS_TEST_VIRTUALBOX` names the VirtualBox of its
//! part.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench that cannot measure stops, and tells by printing"
)]
#![expect(clippy::duplicate_mod, reason = "two worlds of the tests stand on the same ground")]

mod boxes;
#[path = "../../tests/support/libvirt.rs"]
mod daemon;
mod libvirt;
mod parts;
mod ruby;
mod server;
mod stats;
mod tool;
#[path = "../../tests/support/vboxes.rs"]
mod vboxes;
mod virtualbox;
#[path = "../../tests/e2e/world.rs"]
#[expect(dead_code, reason = "the tests of real machines use all of it")]
mod world;

#[path = "../../tests/virtualbox/world.rs"]
#[expect(dead_code, reason = "the tests of VirtualBox use all of it")]
mod lab;
#[path = "../../tests/machines/world.rs"]
#[expect(dead_code, reason = "the tests of machines use all of it")]
mod outer;

use std::path::Path;

fn main() {
    // `cargo bench` passes flags of the harness that we do not have; `cargo test --benches` must not bench.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let rounds = std::env::var("VBOX_RS_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(5);
    let only = std::env::var("VBOX_RS_BENCH_ONLY").unwrap_or_default();
    let wanted = |part: &str| only.is_empty() || only.split(',').any(|one| one == part);
    let subject = tool::Subject::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    let report = |rows: &[_], figures: &[_], counts: &[_]| {
        stats::report(&folder, !only.is_empty(), rows, figures, counts);
    };
    let (mut rows, mut figures, mut counts) = (Vec::new(), Vec::new(), Vec::new());
    let parts: [(&str, &dyn Fn() -> Vec<stats::Row>); 10] = [
        ("quick", &|| parts::quick(&subject, rounds * 5)),
        ("ssh", &|| vec![parts::ssh(&subject, rounds * 4)]),
        ("boot", &|| parts::boot(&subject, rounds)),
        ("add", &|| vec![parts::add(&subject, rounds)]),
        ("parallel", &|| vec![parts::parallel(&subject, rounds)]),
        ("pipeline", &|| vec![boxes::pipeline(&subject, rounds)]),
        ("vagrant", &|| boxes::vagrant(&subject, rounds).into_iter().collect()),
        ("convert", &|| vec![boxes::convert(&subject, rounds)]),
        ("thousand", &|| boxes::thousand(rounds * 5)),
        ("ruby", &|| ruby::evaluation(rounds * 20)),
    ];
    for (_, measure) in parts.iter().filter(|(part, _)| wanted(part)) {
        rows.extend(measure());
        // After each part: what was measured survives an end in between.
        report(&rows, &figures, &counts);
    }
    if wanted("virtualbox") {
        let (more, counted) = virtualbox::measure(rounds * 2);
        rows.extend(more);
        counts.extend(counted);
        report(&rows, &figures, &counts);
    }
    if wanted("libvirt") {
        let (more, bytes) = libvirt::all(rounds);
        rows.extend(more);
        figures.extend(bytes);
        report(&rows, &figures, &counts);
    }
    if wanted("sizes") {
        figures.extend(boxes::sizes());
        report(&rows, &figures, &counts);
        figures.push(boxes::memory(&subject));
        report(&rows, &figures, &counts);
    }
}
