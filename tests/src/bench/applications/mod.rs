//! Linux applications that move: servers, with their own benchmarks as clients in the network, and a compiler.
//!
//! | application | in the guest | its client | in the paper |
//! |---|---|---|---|
//! | web | nginx, a thousand files | wrk, which asks for any of them | SPECweb |
//! | build | make and gcc, a part of a kernel | whoever reads the console | kernel build |
//! | torrent | blocks written all over a file, and iperf3 | iperf3, which sends 1 MB/s | BitTorrent |
//! | sender | iperf3, as fast as it goes | iperf3, which receives | NetPerf |
//! | store | redis | redis-benchmark, which sets any of 50,000 values | none |
//!
//! ```text
//!  place 0             bridge of this host              place 1
//!  guest -- tap0 -- br0 ------- client ------- br0 -- tap0 -- guest
//! ```
//!
//! The guest is a stock Debian kernel with the disk of `guest-images/linux/applications.sh`. Where no stock
//! kernel runs, all of it runs in the nested rig, under emulation, and says so.

mod clients;
mod told;

use std::fmt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

pub use clients::programs;
pub use told::Served;

use super::BenchError;
use super::column::Column;
use super::ground::Ground;
use super::noise::Noise;
use super::sample::number_in;
use crate::harness::{Lines, Network, VmProcess};
use clients::Clients;

/// The guest, as the paper's.
const MEMORY_MIB: u32 = 512;

/// Long enough for everything that works, under emulation too.
const PATIENCE: Duration = Duration::from_secs(900);

/// How the VM moves.
#[must_use]
pub fn columns() -> [Column; 3] {
    [
        "post-copy:--mode post-copy",
        "pre-copy:--mode pre-copy",
        "auto:--mode auto",
    ]
    .map(|text| text.parse().expect("a name and options"))
}

/// What the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Application {
    /// A web server.
    Web,
    /// A kernel build.
    Build,
    /// File sharing.
    Torrent,
    /// A sender over TCP.
    Sender,
    /// A key-value store.
    Store,
}

impl Application {
    /// All of them: those of the paper's table in its order, and one more.
    pub const ALL: [Self; 5] = [
        Self::Web,
        Self::Build,
        Self::Torrent,
        Self::Sender,
        Self::Store,
    ];

    /// Of what a client gets so many a second.
    #[must_use]
    pub fn unit(self) -> &'static str {
        match self {
            Self::Web | Self::Store => "answers",
            Self::Build => "objects",
            Self::Torrent | Self::Sender => "Mb",
        }
    }

    /// How long its client is to run where others run for `span`.
    fn span(self, span: Duration) -> Duration {
        match self {
            // It has something for its client every few seconds only.
            Self::Build => 4 * span,
            Self::Web | Self::Torrent | Self::Sender | Self::Store => span,
        }
    }

    /// What is typed on the console of the guest to begin, if it does not wait for a client.
    fn command(self) -> Option<&'static str> {
        match self {
            Self::Build => Some("build &\n"),
            Self::Torrent => Some("share &\n"),
            Self::Web | Self::Sender | Self::Store => None,
        }
    }
}

impl fmt::Display for Application {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Web => "web",
            Self::Build => "build",
            Self::Torrent => "torrent",
            Self::Sender => "sender",
            Self::Store => "store",
        })
    }
}

/// What a move of an application was like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// What the guest did.
    pub application: String,
    /// How it moved.
    pub column: String,
    /// Of what its client got so many a second.
    pub unit: &'static str,
    /// What its client got when it was left alone.
    pub alone: Served,
    /// What its client got in the span in which it moved.
    pub moved: Served,
    /// How much longer the same would have taken.
    pub slowdown_percent: f64,
    /// From the start of the move until nothing depends on the source.
    pub total_ms: f64,
    /// Of which the guest stood still.
    pub downtime_ms: f64,
    /// Pages whose content went over the wire.
    pub transferred_pages: f64,
    /// Pages that the guest needed before they were there.
    pub network_faults: f64,
    /// What else the machine did, from the boot to the last move of this guest.
    pub noise: Noise,
}

/// Boots a guest from the disk `image`, which it writes, and has it do `application`: alone for `span`, a build
/// for longer, and then for as long in each of which it is moved as a column says. Adds a row for each move, in
/// which it is not said yet what else the machine did.
///
/// # Errors
/// Guest or client do not do their part, a VM does not arrive, or a move takes longer than `span`.
pub fn measure(
    ground: &Ground,
    application: Application,
    image: &Path,
    span: Duration,
    rows: &mut Vec<Row>,
) -> Result<(), BenchError> {
    let span = application.span(span);
    let clients = Clients::new()?;
    let mut vm = boot(ground, image)?;
    if application == Application::Store {
        clients.fill_store()?;
    }
    if let Some(command) = application.command() {
        vm.skiff.type_text(command)?;
    }
    if application == Application::Build {
        vm.skiff.output().wait(OBJECT, PATIENCE)?;
    }
    let before = objects(&vm);
    let got = clients.get(application, span)?;
    let alone = got.unwrap_or_else(|| Served::counted(objects(&vm) - before, span));
    eprintln!(
        "{application}: {:.2} {} a second alone",
        alone.per_s,
        application.unit()
    );
    for (moves, column) in columns().iter().enumerate() {
        let (console, before) = (vm.skiff.output().clone(), objects(&vm));
        let (got, moved) = thread::scope(|scope| {
            let client = scope.spawn(|| (clients.get(application, span), Instant::now()));
            // What comes before the move is a part of what comes.
            thread::sleep(span / 10);
            let began = Instant::now();
            let moved = ground.move_on(vm, moves, &column.options, PATIENCE, |_| ());
            let arrived = Instant::now();
            eprintln!("{application}, {column}: {:.1?}", arrived - began);
            let (got, ended) = client
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            match arrived.checked_duration_since(ended) {
                Some(late) if moved.is_ok() => Err(BenchError::Outlasted { late, span }),
                _ => Ok((got?, moved?)),
            }
        })?;
        let report;
        (vm, report) = moved;
        let made = made(&console) - before + objects(&vm);
        let moved = got.unwrap_or_else(|| Served::counted(made, span));
        let number = |path| number_in(&report, path);
        rows.push(Row {
            application: application.to_string(),
            column: column.name.clone(),
            unit: application.unit(),
            alone,
            moved,
            slowdown_percent: (alone.per_s / moved.per_s - 1.0) * 100.0,
            total_ms: number("/total_ms")?,
            downtime_ms: number("/downtime_ms")?,
            transferred_pages: number("/pages/transferred")?,
            network_faults: number("/faults/network")?,
            noise: Noise::default(),
        });
    }
    Ok(())
}

/// Boots the guest at the first place, and waits until its servers are there.
fn boot(ground: &Ground, image: &Path) -> Result<VmProcess, BenchError> {
    let memory = format!("{MEMORY_MIB}M");
    let card = format!("tap={}", Network::TAP);
    let disk = image.to_string_lossy();
    let options = ["--memory", &memory, "--disk", &disk, "--net", &card];
    let words = "quiet skiff.root=/dev/vda";
    let vm = ground.first().boot_linux_with("app0", &options, words)?;
    vm.skiff.output().wait("applications: ready", PATIENCE)?;
    Ok(vm)
}

/// What `make` says of a file that it compiles.
const OBJECT: &str = "  CC ";

/// Files that were compiled, by what the console of this VM has shown.
fn objects(vm: &VmProcess) -> u64 {
    made(vm.skiff.output())
}

fn made(console: &Lines) -> u64 {
    let lines = console.all();
    lines.iter().filter(|line| line.contains(OBJECT)).count() as u64
}

/// Prints a row for each move.
pub fn print(rows: &[Row]) {
    println!(
        "\n{:12} {:10} {:>14} {:>9} {:>9} {:>9} {:>10} {:>10} {:>9} {:>12} {:>8} {:>7}",
        "application",
        "how",
        "a second",
        "alone",
        "moved",
        "longer %",
        "longest ms",
        "alone ms",
        "total ms",
        "downtime ms",
        "pages",
        "faults"
    );
    for row in rows {
        let longest = |served: Served| {
            let text = served.longest_ms.map(|ms| format!("{ms:.0}"));
            text.unwrap_or_else(|| "-".to_owned())
        };
        println!(
            "{:12} {:10} {:>14} {:>9.2} {:>9.2} {:>9.1} {:>10} {:>10} {:>9.0} {:>12.1} {:>8.0} {:>7.0}",
            row.application,
            row.column,
            row.unit,
            row.alone.per_s,
            row.moved.per_s,
            row.slowdown_percent,
            longest(row.moved),
            longest(row.alone),
            row.total_ms,
            row.downtime_ms,
            row.transferred_pages,
            row.network_faults
        );
    }
}
