//! A Linux guest that fills memory, frees it, and says what it uses.

use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::Giving;
use crate::bench::BenchError;
use crate::bench::sample::check_moved;
use crate::harness::{Host, VmProcess, field};

/// Long enough for everything that works, under emulation too.
const PATIENCE: Duration = Duration::from_secs(900);

/// How often a number is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(250);

/// Linux reports what was freed after 2 s, so that something happens in this time or nothing does.
const REPORTING_CALM: Duration = Duration::from_secs(6);

const MIB: u64 = 1 << 20;

/// Random bytes of which the content is repeated, so that no page is zero and writing is fast.
const PIECE_MIB: u32 = 4;

/// Has Linux report blocks from 2^9 pages on, as it does by itself: the init of this guest had it report
/// smaller ones.
const COARSE_REPORTING: &str = "echo 9 >/sys/module/page_reporting/parameters/page_reporting_order";

/// What a VM holds and what its guest uses of that.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Use {
    /// Resident memory of the monitor.
    pub resident_mib: u64,
    /// All memory of the guest but what is free or in its balloon.
    pub used_mib: u64,
    /// What is in the balloon.
    pub balloon_mib: u64,
}

/// A stock Debian kernel with a shell on its console.
#[derive(Debug)]
pub struct LinuxGuest {
    host: Host,
    vm: VmProcess,
    memory_mib: u32,
    giving: Giving,
    moves: u32,
    questions: u32,
}

impl LinuxGuest {
    /// Boots it with a balloon as `giving` says, and waits until it does nothing any more. Nothing is
    /// taken from it before [`Self::begin`].
    ///
    /// # Errors
    /// It does not boot.
    pub fn boot(memory_mib: u32, giving: Giving, words: &str) -> Result<Self, BenchError> {
        let host = Host::new()?;
        let memory = format!("{memory_mib}M");
        let options = ["--memory", &memory, "--balloon", giving.device()];
        let vm = host.boot_linux_with("linux0", &options, &format!("skiff.shell {words}"))?;
        vm.skiff.output().wait("skiff: ready", PATIENCE)?;
        let mut guest = Self {
            host,
            vm,
            memory_mib,
            giving,
            moves: 0,
            questions: 0,
        };
        guest.ask(&format!(
            "dd if=/dev/urandom of=/piece bs=1M count={PIECE_MIB} 2>/dev/null"
        ))?;
        if giving == Giving::CoarseReporting {
            guest.ask(COARSE_REPORTING)?;
        }
        guest.settle()?;
        Ok(guest)
    }

    /// Begins to take memory from it, if its balloon is to be set by the monitor.
    ///
    /// # Errors
    /// The monitor refuses.
    pub fn begin(&self) -> Result<(), BenchError> {
        if self.giving == Giving::SelfBallooning {
            let (name, every) = (self.name(), format!("{}s", super::interval_s()));
            self.host
                .command(&["balloon", &name, "--auto", "on", "--interval", &every])?;
        }
        Ok(())
    }

    /// Has it use so much memory that is not zero.
    ///
    /// # Errors
    /// It does not come to an end.
    pub fn fill(&mut self, mib: u32) -> Result<(), BenchError> {
        let pieces = mib / PIECE_MIB;
        self.ask(&format!(
            "for i in $(seq {pieces}); do cat /piece; done >/run/fill"
        ))?;
        Ok(())
    }

    /// Whether what it was filled with is still what it was.
    ///
    /// # Errors
    /// It does not answer.
    pub fn is_intact(&mut self, mib: u32) -> Result<bool, BenchError> {
        let pieces = mib / PIECE_MIB;
        let compare = "| cmp - /run/fill && echo same=1 || echo same=0";
        let told = self.ask(&format!(
            "for i in $(seq {pieces}); do cat /piece; done {compare}"
        ))?;
        let same = told.iter().find_map(|line| field(line, "same").ok());
        Ok(same == Some(1))
    }

    /// Has it free that memory.
    ///
    /// # Errors
    /// It does not answer.
    pub fn free(&mut self) -> Result<(), BenchError> {
        self.ask("rm /run/fill").map(drop)
    }

    /// How often its OOM killer woke.
    #[must_use]
    pub fn oom_kills(&self) -> usize {
        let lines = self.vm.skiff.output().all();
        let kill = |line: &&String| line.contains("Out of memory") || line.contains("oom-kill");
        lines.iter().filter(kill).count()
    }

    /// Every new target that was set, as the monitor says it.
    #[must_use]
    pub fn targets(&self) -> Vec<String> {
        let lines = self.vm.skiff.messages().all();
        let targets = lines
            .iter()
            .filter_map(|line| line.split_once("balloon: target "));
        targets.map(|(_, rest)| rest.to_owned()).collect()
    }

    /// What it holds and uses now.
    ///
    /// # Errors
    /// Guest or monitor do not answer.
    pub fn now(&mut self) -> Result<Use, BenchError> {
        // What goes into the balloon between the two questions would count as neither or twice.
        loop {
            let before = self.balloon_mib()?;
            let free_mib = self.free_mib()?;
            let balloon_mib = self.balloon_mib()?;
            if balloon_mib == before {
                return Ok(Use {
                    resident_mib: self.resident_mib()?,
                    used_mib: u64::from(self.memory_mib).saturating_sub(free_mib + balloon_mib),
                    balloon_mib,
                });
            }
        }
    }

    fn balloon_mib(&self) -> Result<u64, BenchError> {
        Ok(match self.giving {
            Giving::Nothing => 0,
            Giving::Reporting | Giving::CoarseReporting | Giving::SelfBallooning => {
                self.balloon("actual_bytes")? / MIB
            }
        })
    }

    fn free_mib(&mut self) -> Result<u64, BenchError> {
        let told = self.ask("awk '/^MemFree/ { print \"free_kib=\" $2 }' /proc/meminfo")?;
        let free_kib = told.iter().find_map(|line| field(line, "free_kib").ok());
        let free_kib = free_kib.ok_or_else(|| BenchError::Lacks {
            what: "free memory",
            text: told.join("\n"),
        })?;
        Ok(free_kib / 1024)
    }

    /// Resident memory of the monitor.
    ///
    /// # Errors
    /// The monitor does not answer.
    pub fn resident_mib(&self) -> Result<u64, BenchError> {
        let info = self.vm.info()?;
        let bytes = info["resident_bytes"].as_u64();
        let bytes = bytes.ok_or_else(|| BenchError::Lacks {
            what: "resident_bytes",
            text: info.to_string(),
        })?;
        Ok(bytes / MIB)
    }

    /// Waits until it holds no more than so much, and says how long that took; `None` if it still holds
    /// more when `patience` is over.
    ///
    /// # Errors
    /// The monitor does not answer.
    pub fn await_resident_mib(
        &self,
        most_mib: u64,
        patience: Duration,
    ) -> Result<Option<Duration>, BenchError> {
        let began = Instant::now();
        while began.elapsed() < patience {
            if self.resident_mib()? <= most_mib {
                return Ok(Some(began.elapsed()));
            }
            thread::sleep(LOOK);
        }
        Ok(None)
    }

    /// Waits until its resident memory stays what it is.
    ///
    /// # Errors
    /// The monitor does not answer.
    pub fn settle(&self) -> Result<u64, BenchError> {
        let calm = match self.giving {
            Giving::Nothing | Giving::Reporting | Giving::CoarseReporting => REPORTING_CALM,
            // Nothing is taken before the first interval is over.
            Giving::SelfBallooning => Duration::from_secs(2 * u64::from(super::interval_s())),
        };
        let mut before = self.resident_mib()?;
        loop {
            thread::sleep(calm);
            let now = self.resident_mib()?;
            if now.abs_diff(before) <= 1 {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Moves it to another monitor, and has it answer there; the report.
    ///
    /// # Errors
    /// It does not arrive.
    pub fn migrate(&mut self, mode: &str) -> Result<Value, BenchError> {
        self.moves += 1;
        let (target, address) = self.host.receive(&self.name())?;
        let report = self.vm.migrate(&address, &["--mode", mode])?;
        check_moved(&report)?;
        self.vm.skiff.succeed(PATIENCE)?;
        self.vm = target;
        self.ask("true")?;
        Ok(report)
    }

    fn name(&self) -> String {
        format!("linux{}", self.moves)
    }

    fn balloon(&self, key: &'static str) -> Result<u64, BenchError> {
        let told = self.host.command(&["balloon", &self.name(), "--json"])?;
        let number = serde_json::from_str(&told).ok();
        let number = number.and_then(|told: Value| told[key].as_u64());
        number.ok_or(BenchError::Lacks {
            what: key,
            text: told,
        })
    }

    /// Types a command and returns what it printed.
    fn ask(&mut self, command: &str) -> Result<Vec<String>, BenchError> {
        self.questions += 1;
        let question = self.questions;
        let output = self.vm.skiff.output().clone();
        let from = output.count();
        // The echo of what is typed has the sum, the answer its result.
        self.vm
            .skiff
            .type_text(&format!("{command}; echo answer-$(({question} + 1000))\n"))?;
        let answer = format!("answer-{}", question + 1000);
        output.wait_from(from, &answer, PATIENCE)?;
        Ok(output.all().split_off(from))
    }
}
