//! Guests to be saved, and the same guests resumed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::{BenchError, guest::Record};
use crate::harness::{Host, Lines, VmProcess};

/// Several times what anything here took.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// The file in a snapshot with what was learned from its resumes.
const WORKING_SET: &str = "working-set";

/// Pages of a MiB.
pub(super) const MIB_PAGES: u64 = 256;

/// A probe guest that has used more memory than it works on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guest<'a> {
    /// All memory.
    pub(super) memory: &'a str,
    /// What it works on, in KiB.
    pub(super) set_kib: u64,
    /// Further words of its command line.
    pub(super) words: &'a str,
    /// Pages that it has filled besides, as far as there are so many.
    pub(super) filled_pages: u64,
}

/// A resumed guest.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) vm: VmProcess,
    /// When its process was started.
    pub(super) began: Instant,
    /// When it said that the guest is about to run.
    pub(super) ready: Instant,
}

impl Guest<'_> {
    /// Boots it, and waits until everything is filled.
    pub(super) fn boot(&self, host: &Host) -> Result<VmProcess, BenchError> {
        let Self {
            memory,
            set_kib,
            words,
            filled_pages,
        } = *self;
        let words = format!("ws={set_kib}K balloon=manual {words}");
        let options = ["--kernel", "probe", "--memory", memory, "--cmdline", &words];
        // Without free page reporting: what was filled has to stay.
        let mut vm = host.boot("saved", &[&options[..], &["--balloon", "plain"]].concat())?;
        let set_pages = set_kib / 4;
        let output = vm.skiff.output().clone();
        let is_full = |line: &String| Record::parse(line).is_some_and(|now| now.pages >= set_pages);
        wait_until(&output, "pages=", |lines| lines.iter().any(is_full))?;
        if filled_pages > 0 {
            vm.skiff
                .type_text(&format!(":fill {set_pages} {filled_pages}\n"))?;
            output.wait("probe: fill", PATIENCE)?;
        }
        Ok(vm)
    }
}

/// Has the VM end with a snapshot.
pub(super) fn save(vm: &mut VmProcess, directory: &Path) -> Result<(), BenchError> {
    vm.snapshot(directory, &["--stop"])?;
    Ok(vm.skiff.succeed(PATIENCE)?)
}

/// Resumes a guest.
pub(super) fn resume(
    host: &Host,
    directory: &Path,
    options: &[&str],
) -> Result<Resumed, BenchError> {
    let began = Instant::now();
    let report = report_path(host);
    let report = report.to_string_lossy();
    let options = [options, &["--report", &report]].concat();
    Ok(Resumed {
        vm: host.restore("resumed", directory, &options)?,
        began,
        ready: Instant::now(),
    })
}

impl Resumed {
    /// Waits until all of its memory is there, and gives the report.
    pub(super) fn report(&self, host: &Host, options: &[&str]) -> Result<Value, BenchError> {
        if options.contains(&"lazy") {
            let messages = self.vm.skiff.messages();
            messages.wait("all memory is here", PATIENCE)?;
        } else {
            // Its report is written right after the guest was started, and before commands are served.
            self.vm.info()?;
        }
        let text = fs::read_to_string(report_path(host)).map_err(BenchError::system("read"))?;
        serde_json::from_str(&text).map_err(|_| BenchError::Lacks {
            what: "report",
            text,
        })
    }

    /// Ends it.
    pub(super) fn end(mut self) -> Result<(), BenchError> {
        let mut lines = self.vm.skiff.output().all().into_iter();
        if let Some(record) = lines.find(|line| line.contains("probe: corrupt")) {
            return Err(BenchError::Corrupt { record });
        }
        self.vm.tell("stop")?;
        Ok(self.vm.skiff.succeed(PATIENCE)?)
    }
}

fn report_path(host: &Host) -> PathBuf {
    host.runtime().join("report.json")
}

/// Waits until the lines so far are enough; looks at them whenever one with `text` has come.
pub(super) fn wait_until(
    output: &Lines,
    text: &str,
    enough: impl Fn(&[String]) -> bool,
) -> Result<(), BenchError> {
    loop {
        let lines = output.all();
        if enough(&lines) {
            return Ok(());
        }
        output.wait_from(lines.len(), text, PATIENCE)?;
    }
}

/// Forgets what was learned from earlier resumes.
pub(super) fn forget(directory: &Path) -> Result<(), BenchError> {
    match fs::remove_file(directory.join(WORKING_SET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(BenchError::system("forget a working set")(error))
        }
        _ => Ok(()),
    }
}

/// Milliseconds to calculate with.
pub(super) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
