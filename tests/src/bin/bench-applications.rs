//! `bench-applications`: what moves do to Linux applications.

use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use ::tests::bench::applications::{Application, Row, measure, print, programs};
use ::tests::bench::noise::Watch;
use ::tests::bench::results::{self, Skipped};
use ::tests::bench::{BenchError, Ground, IN_RIG, results_in_rig, runs_linux};
use ::tests::harness::{Network, exit_code, remove_on_signal};
use ::tests::rig::{Input, Rig};
use argh::FromArgs;
use serde_json::{Value, json};

/// Rate of the link out of each place, in Mb/s, but in the rig, where no link is as fast.
const LINK_MBIT: u32 = 1000;

/// Where the guest's disk is in the rig, and who says so.
const IMAGE: &str = "applications.img";
const IMAGE_VARIABLE: &str = "SKIFF_APPLICATIONS";

/// The image lies in it twice: as it is handed in, and unpacked.
const RIG_MEMORY_MIB: u32 = 6144;

/// Several times what it took.
const RIG_PATIENCE: Duration = Duration::from_secs(4 * 3600);

/// Says what Linux applications and their clients feel of a move: nginx with wrk, a kernel build, file sharing,
/// iperf3, and redis with its benchmark.
#[derive(FromArgs)]
#[argh(note = "\
A guest of 512 MiB does one of them: alone for a time, and then for as long while it moves between two network
namespaces, by post-copy, pre-copy and auto. Its disk is made by guest-images/linux/applications.sh. Where no stock
kernel runs, all this runs in the nested rig, under emulation; the results say so. It takes root, and
three quarters of an hour in the rig.")]
struct Args {
    /// web, build, torrent, sender or store; may be repeated (default: all)
    #[argh(option)]
    application: Vec<Chosen>,

    /// how long each client runs, longer than any move takes; for the build four times as long (default 20, in the rig 60)
    #[argh(option)]
    seconds: Option<u64>,

    /// also write everything to this file, as JSON
    #[argh(option)]
    out: Option<PathBuf>,
}

impl Args {
    fn applications(&self) -> Vec<Application> {
        match self.application.as_slice() {
            [] => Application::ALL.to_vec(),
            chosen => chosen.iter().map(|chosen| chosen.0).collect(),
        }
    }
}

/// An application as it is named on the command line.
struct Chosen(Application);

impl FromStr for Chosen {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let mut all = Application::ALL.into_iter();
        let named = all.find(|application| application.to_string() == word);
        named.map(Self).ok_or_else(|| {
            let names = Application::ALL.map(|application| application.to_string());
            format!("no application `{word}`; there are {}", names.join(", "))
        })
    }
}

fn main() -> ExitCode {
    exit_code("bench-applications", run(&argh::from_env()))
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    remove_on_signal()?;
    let is_rig = env::var_os("SKIFF_RIG").is_some();
    let image = env::var_os(IMAGE_VARIABLE);
    let image = image.as_deref().unwrap_or(OsStr::new(default_image()));
    if !Path::new(image).exists() {
        let image = image.display();
        return Err(
            format!("there is no {image}: guest-images/linux/applications.sh makes it").into(),
        );
    }
    let mut results = results::header("applications");
    if runs_linux() {
        if let Some(obstacle) = Network::obstacle() {
            println!("nothing is measured: {obstacle}");
            return Ok(());
        }
        let span = Duration::from_secs(args.seconds.unwrap_or(if is_rig { 60 } else { 20 }));
        results["is_emulated"] = json!(is_rig);
        results["span_s"] = json!(span.as_secs());
        let (rows, skipped) = all(args, Path::new(image), is_rig, span)?;
        results["rows"] = json!(rows);
        results["skipped"] = json!(skipped);
    } else {
        println!("{IN_RIG}");
        let found = in_rig(args, Path::new(image))?;
        for key in ["is_emulated", "span_s", "rows", "skipped"] {
            results[key] = found[key].clone();
        }
    }
    if let Some(path) = &args.out {
        results::write(path, &results)?;
    }
    Ok(())
}

/// What a command that failed said last, without its report.
fn brief(error: &BenchError) -> String {
    let text = error.to_string();
    let said = text.rfind("\nerror: ").and_then(|at| text.get(at..));
    said.unwrap_or(&text).trim().to_owned()
}

/// Measures the applications that are wanted, each in a guest of its own that may write its disk. One that fails
/// leaves the others as they are, and its own moves before.
fn all(
    args: &Args,
    image: &Path,
    is_rig: bool,
    span: Duration,
) -> Result<(Vec<Row>, Vec<Skipped>), Box<dyn Error>> {
    let place = tempfile::tempdir()?;
    let ground = Ground::new((!is_rig).then_some(LINK_MBIT))?;
    let (mut rows, mut skipped) = (Vec::new(), Vec::new());
    for application in args.applications() {
        // In the rig the image is a copy already, and memory is scarce.
        let disk = if is_rig {
            image.to_owned()
        } else {
            let disk = place.path().join(IMAGE);
            fs::copy(image, &disk)?;
            disk
        };
        let mut measured = Vec::new();
        // Before the guest, which would count as another.
        let watch = Watch::begin()?;
        if let Err(error) = measure(&ground, application, &disk, span, &mut measured) {
            eprintln!("{application}: {error}");
            skipped.push(Skipped::new(application.to_string(), brief(&error)));
        }
        let noise = watch.end()?;
        for row in &mut measured {
            row.noise = noise;
        }
        print(&measured);
        rows.extend(measured);
    }
    Ok((rows, skipped))
}

/// Measures them in the nested rig, and gives what was found.
fn in_rig(args: &Args, image: &Path) -> Result<Value, BenchError> {
    let mut words = Vec::new();
    for application in args.applications() {
        words.extend(["--application".to_owned(), application.to_string()]);
    }
    if let Some(seconds) = args.seconds {
        words.extend(["--seconds".to_owned(), seconds.to_string()]);
    }
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    let mut rig = Rig::new()
        .input(Input::named(image, IMAGE))
        .env(IMAGE_VARIABLE, format!("/in/{IMAGE}"))
        .memory_mib(RIG_MEMORY_MIB)
        .timeout(RIG_PATIENCE);
    for program in programs()? {
        rig = rig.input(program);
    }
    results_in_rig(rig, &words)
}

/// Where the recipe leaves the disk.
fn default_image() -> &'static str {
    concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/guest-images/applications.img"
    )
}
