//! A bridge of this host with TAP interfaces on it: the network of guests under test.

use std::net::Ipv4Addr;
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use super::HarnessError;

/// Networks of this process so far.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A bridge and its interfaces, which go with it.
#[derive(Debug)]
pub struct Network {
    /// The last part of its names.
    tag: String,
    taps: Vec<String>,
}

impl Network {
    /// The address of this host in every network, of which there is one at a time.
    pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

    /// Makes a bridge with so many TAP interfaces, or says why that cannot be done here.
    ///
    /// # Errors
    /// A command of iproute2, or of busybox in its place, fails.
    pub fn new(taps: usize) -> Result<Self, HarnessError> {
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        // Names have 15 characters at most.
        let tag = format!("{:x}{number}", process::id());
        let network = Self {
            taps: (0..taps).map(|tap| format!("sk{tap}.{tag}")).collect(),
            tag,
        };
        let bridge = network.bridge();
        sh(&format!(
            "ip link add {bridge} type bridge && ip addr add {}/24 dev {bridge} && ip link set {bridge} up",
            Self::HOST
        ))?;
        for tap in &network.taps {
            // The second is busybox's, in the rig.
            sh(&format!(
                "{{ ip tuntap add dev {tap} mode tap 2>/dev/null || tunctl -t {tap}; }} && \
                 ip link set {tap} master {bridge} && ip link set {tap} up"
            ))?;
        }
        Ok(network)
    }

    /// Why there can be no network here, if so.
    #[must_use]
    pub fn obstacle() -> Option<String> {
        let probe = "[ $(id -u) = 0 ] || { echo 'it takes root' >&2; exit 1; }; \
                     { modprobe tun; modprobe bridge; } 2>/dev/null; \
                     [ -c /dev/net/tun ] || { echo 'there is no /dev/net/tun' >&2; exit 1; }; \
                     ip link add skprobe type bridge && ip link del skprobe";
        sh(probe).err().map(|error| error.to_string())
    }

    /// The name of one of its interfaces.
    ///
    /// # Panics
    /// There are less.
    #[must_use]
    pub fn tap(&self, number: usize) -> &str {
        &self.taps[number]
    }

    fn bridge(&self) -> String {
        format!("skb.{}", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in self.taps.iter().chain([&self.bridge()]) {
            // What was not made is not there to go.
            drop(sh(&format!("ip link del {name}")));
        }
    }
}

/// Runs a script for its effect.
fn sh(script: &str) -> Result<(), HarnessError> {
    let done = Command::new("sh").args(["-c", script]).output();
    let done = done.map_err(HarnessError::process("run a shell"))?;
    if done.status.success() {
        return Ok(());
    }
    Err(HarnessError::Failed {
        command: script.to_owned(),
        status: done.status,
        output: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}
