//! Two places between which a VM with a network card moves.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::BenchError;
use super::sample::check_moved;
use crate::harness::{Host, Network, VmProcess, write_key};

/// Two network namespaces, and a key by which monitors in them trust each other.
#[derive(Debug)]
pub struct Ground {
    network: Network,
    hosts: [Host; 2],
    directory: TempDir,
}

impl Ground {
    /// Makes it; with a link of so many Mb/s out of each place, or with one as fast as it goes.
    ///
    /// # Errors
    /// It takes root, iproute2 or busybox, and a kernel with bridges; for a rate, iproute2.
    pub fn new(link_mbit: Option<u32>) -> Result<Self, BenchError> {
        let network = Network::with_places(2)?;
        if let Some(mbit_per_s) = link_mbit {
            for place in network.places() {
                place.limit(mbit_per_s)?;
            }
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

    /// The host in which VMs are booted.
    pub(super) fn first(&self) -> &Host {
        &self.hosts[0]
    }

    /// The network, in which the benchmark itself is a client.
    pub(super) fn network(&self) -> &Network {
        &self.network
    }

    /// Moves the VM to the other place, with `options` of `skiff migrate`; gives it and the report.
    /// `receiving` is told of the monitor that waits for it.
    ///
    /// # Errors
    /// It does not arrive within `patience`.
    pub(super) fn move_on(
        &self,
        mut vm: VmProcess,
        moves: usize,
        options: &[String],
        patience: Duration,
        receiving: impl FnOnce(&VmProcess),
    ) -> Result<(VmProcess, Value), BenchError> {
        let there = (moves + 1) % 2;
        let key = self.key();
        let key = key.to_string_lossy();
        let listen = format!("{}:0", self.network.places()[there].address);
        let name = format!("app{}", moves + 1);
        // Its rate comes with the VM.
        let card = format!("tap={}", Network::TAP);
        let ours = ["--key", &key, "--net", &card];
        let (arriving, address) = self.hosts[there].receive_at(&name, &listen, &ours)?;
        receiving(&arriving);
        let mut words = vec!["--key", &*key];
        words.extend(options.iter().map(String::as_str));
        let report = vm.migrate(&address, &words)?;
        check_moved(&report)?;
        vm.skiff.succeed(patience)?;
        Ok((arriving, report))
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("key")
    }
}
