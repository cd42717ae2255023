//! Two places between which a VM with a network card moves.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::watch::{Counters, Watched};
use super::{Application, CARD_MBIT, LINK_MBIT, PATIENCE};
use crate::bench::BenchError;
use crate::bench::column::Column;
use crate::bench::guest::Record;
use crate::bench::sample::check_moved;
use crate::harness::{Host, Network, VmProcess, write_key};

/// Two network namespaces, and a key by which monitors in them trust each other.
#[derive(Debug)]
pub struct Ground {
    network: Network,
    hosts: [Host; 2],
    directory: TempDir,
}

impl Ground {
    /// Makes it.
    ///
    /// # Errors
    /// It takes root, iproute2, and a kernel with bridges.
    pub fn new() -> Result<Self, BenchError> {
        let network = Network::with_places(2)?;
        for place in network.places() {
            place.limit(LINK_MBIT)?;
        }
        let host = |place: usize| Host::beside(network.places()[place].process());
        let hosts = [host(0)?, host(1)?];
        let directory = tempfile::tempdir().map_err(BenchError::system("make a directory"))?;
        let ground = Self {
            network,
            hosts,
            directory,
        };
        write_key(&ground.key(), "between two places of one benchmark")?;
        Ok(ground)
    }

    /// Boots a guest with that application at the first place, and waits until it works.
    ///
    /// # Errors
    /// It does not.
    pub(super) fn boot(
        &self,
        application: Application,
        memory_mib: u32,
    ) -> Result<VmProcess, BenchError> {
        let memory = format!("{memory_mib}M");
        let card = format!("tap={},rate={CARD_MBIT}M", Network::TAP);
        let words = application.words();
        let options = [
            "--kernel",
            "probe",
            "--memory",
            &memory,
            "--cmdline",
            &words,
            "--net",
            &card,
        ];
        let mut vm = self.hosts[0].boot("app0", &options)?;
        if let Some(command) = application.command() {
            vm.wait_output("t_ms=")?;
            vm.skiff.type_text(&command)?;
            vm.wait_output("probe: fill")?;
        }
        // By then it has filled what it works on.
        let output = vm.skiff.output();
        while last_pages(&output.all()) <= application.pages() {
            output.wait_from(output.count(), "pages=", PATIENCE)?;
        }
        Ok(vm)
    }

    /// Moves the VM to the other place, as `column` says; gives it and the report.
    ///
    /// # Errors
    /// It does not arrive.
    pub(super) fn move_on(
        &self,
        mut vm: VmProcess,
        moves: usize,
        column: &Column,
        watched: Option<&Watched>,
    ) -> Result<(VmProcess, Value), BenchError> {
        let there = (moves + 1) % 2;
        let key = self.key();
        let key = key.to_string_lossy();
        let listen = format!("{}:0", self.network.places()[there].address);
        let name = format!("app{}", moves + 1);
        // Its rate comes with the VM.
        let card = format!("tap={}", Network::TAP);
        let options = ["--key", &key, "--net", &card];
        let (arriving, address) = self.hosts[there].receive_at(&name, &listen, &options)?;
        if let Some(watched) = watched {
            watched.add(arriving.skiff.output().clone());
            watched.begin();
        }
        let mut options = vec!["--key", &*key];
        options.extend(column.options.iter().map(String::as_str));
        let report = vm.migrate(&address, &options)?;
        check_moved(&report)?;
        vm.skiff.succeed(PATIENCE)?;
        Ok((arriving, report))
    }

    /// What goes over the wire of the first place, and what of it, or from elsewhere, a client gets.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            wire: self.network.uplink(0).to_owned(),
            client: self.network.client(),
        }
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key")
    }
}

/// What the guest has done, by its own last count.
pub(super) fn last_pages(lines: &[String]) -> u64 {
    let last = lines.iter().rev().find_map(|line| Record::parse(line));
    last.map_or(0, |record| record.pages)
}
