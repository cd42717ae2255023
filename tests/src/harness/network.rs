//! Networks of guests under test: bridges of this host with TAP interfaces on them, and network namespaces
//! that stand for other hosts.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{HarnessError, leavings};

/// Networks of this process so far.
static MADE: AtomicU32 = AtomicU32::new(0);

/// What the token bucket filter of a slow link holds, and its longest queue, in time (tc-tbf(8)). Our
/// choice: such a bucket lasts at 1 Gb/s for the millisecond by which a timer may be late, so that the
/// rate is kept; such a queue is what a switch port has, and TCP keeps it far shorter itself.
pub const TOKEN_BUCKET: [&str; 4] = ["burst", "128k", "latency", "50ms"];

/// A bridge with what is on it, which goes with it.
#[derive(Debug)]
pub struct Network {
    /// The last part of its names.
    tag: String,
    /// Interfaces of this host to take away.
    interfaces: Vec<String>,
    taps: Vec<String>,
    places: Vec<Place>,
}

/// A network namespace with a bridge of its own, which is connected to that of its network.
#[derive(Debug)]
pub struct Place {
    /// A process that keeps it alive.
    keeper: Child,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Network {
    /// The address of this host in every network, of which there is one at a time.
    pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

    /// The TAP interface of each place.
    pub const TAP: &str = "tap0";

    /// Makes a bridge with so many TAP interfaces.
    ///
    /// # Errors
    /// A command of iproute2, or of busybox in its place, fails.
    pub fn new(taps: usize) -> Result<Self, HarnessError> {
        let mut network = Self::empty()?;
        let bridge = network.bridge();
        for number in 1..=taps {
            let tap = format!("{}-{number}", network.stem());
            sh(&tap_on(&tap, &bridge))?;
            network.own(&tap);
            network.taps.push(tap);
        }
        Ok(network)
    }

    /// Makes a bridge and so many places on it, each with a TAP interface [`Self::TAP`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_places(places: u8) -> Result<Self, HarnessError> {
        let mut network = Self::empty()?;
        let bridge = network.bridge();
        for number in 0..places {
            let keeper = Command::new("unshare")
                .args(["-n", "sleep", "3600"])
                .stdin(Stdio::null())
                .spawn()
                .map_err(HarnessError::process("make a network namespace"))?;
            leavings::add_process(keeper.id());
            let (pid, address) = (keeper.id(), Ipv4Addr::new(10, 77, 0, 11 + number));
            network.places.push(Place { keeper, address });
            let near = format!("sv{number}.{}", network.tag);
            network.own(&near);
            // The kernel names the other end; the process needs a moment to be where it is.
            let inside = [
                "ip link set lo up".to_owned(),
                "ip link add br0 type bridge".to_owned(),
                format!("ip addr add {address}/24 dev br0"),
                "ip link set br0 up".to_owned(),
                tap_on(Self::TAP, "br0"),
                "ip link set $far master br0".to_owned(),
                "ip link set $far up".to_owned(),
            ];
            sh(&format!(
                "until [ $(readlink /proc/{pid}/ns/net) != $(readlink /proc/self/ns/net) ]; do sleep 0.1; done; \
                 ip link add {near} type veth && \
                 far=$(grep -lx $(cat /sys/class/net/{near}/iflink) /sys/class/net/*/ifindex | cut -d/ -f5) && \
                 ip link set {near} master {bridge} && ip link set {near} up && \
                 ip link set $far netns {pid} && export far && \
                 nsenter -t {pid} -n sh -c '{}'",
                inside.join(" && ")
            ))?;
        }
        Ok(network)
    }

    /// A bridge with nothing on it.
    fn empty() -> Result<Self, HarnessError> {
        sweep();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let network = Self {
            // Names have 15 characters at most.
            tag: format!("{:x}.{number}", process::id()),
            interfaces: Vec::new(),
            taps: Vec::new(),
            places: Vec::new(),
        };
        let bridge = network.bridge();
        leavings::add_interface(&bridge);
        sh(&format!(
            "ip link add {bridge} type bridge && ip addr add {}/24 dev {bridge} && ip link set {bridge} up",
            Self::HOST
        ))?;
        Ok(network)
    }

    /// Notes an interface to take away.
    fn own(&mut self, name: &str) {
        leavings::add_interface(name);
        self.interfaces.push(name.to_owned());
    }

    /// Why there can be no network here, if so.
    #[must_use]
    pub fn obstacle() -> Option<String> {
        let probe = "[ $(id -u) = 0 ] || { echo 'it takes root' >&2; exit 1; }; \
                     { modprobe tun; modprobe bridge; modprobe veth; } 2>/dev/null; \
                     [ -c /dev/net/tun ] || { echo 'there is no /dev/net/tun' >&2; exit 1; }; \
                     ip link add skprobe type bridge && ip link del skprobe";
        sh(probe).err().map(|error| error.to_string())
    }

    /// What the names of its interfaces begin with: the rest is -1, -2 and so on.
    #[must_use]
    pub fn stem(&self) -> String {
        format!("sk.{}", self.tag)
    }

    /// The name of one of its interfaces, counted from 0.
    ///
    /// # Panics
    /// There are less.
    #[must_use]
    pub fn tap(&self, number: usize) -> &str {
        &self.taps[number]
    }

    /// Does to one of its interfaces, counted from 0, what `ip link set` does: takes it `down` or brings it `up`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn set(&self, number: usize, word: &str) -> Result<(), HarnessError> {
        sh(&format!("ip link set {} {word}", self.tap(number)))
    }

    /// The interface of this host at which all that comes out of a place, counted from 0, is counted.
    ///
    /// # Panics
    /// There are less.
    #[must_use]
    pub fn uplink(&self, place: usize) -> &str {
        &self.interfaces[place]
    }

    /// The interface of this host at which what is sent to it, or to everybody, is counted.
    #[must_use]
    pub fn client(&self) -> String {
        self.bridge()
    }

    /// What an interface of this host has counted so far of `what`, as rx_bytes or rx_packets
    /// (Documentation/ABI/testing/sysfs-class-net-statistics of Linux).
    ///
    /// # Errors
    /// There is no such interface.
    pub fn counted(interface: &str, what: &str) -> Result<u64, HarnessError> {
        let path = Path::new("/sys/class/net").join(interface);
        let text = fs::read_to_string(path.join("statistics").join(what))
            .map_err(HarnessError::process("read a counter"))?;
        let what = "counter of an interface";
        let counted = text.trim().parse();
        counted.map_err(|_| HarnessError::Unexpected { what, text })
    }

    /// Its places.
    #[must_use]
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    fn bridge(&self) -> String {
        format!("skb.{}", self.tag)
    }
}

impl Place {
    /// Lets no more than so many Mb/s out of it, by a token bucket filter (tc-tbf(8)).
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn limit(&self, mbit_per_s: u32) -> Result<(), HarnessError> {
        sh(&format!(
            "nsenter -t {} -n sh -c 'uplink=$(ip -o link show master br0 type veth | cut -d: -f2 | cut -d@ -f1) && \
             tc qdisc add dev $uplink root tbf rate {mbit_per_s}mbit {}'",
            self.process(),
            TOKEN_BUCKET.join(" ")
        ))
    }

    /// A process in it.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.keeper.id()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in &mut self.places {
            // What has ended needs no end.
            drop(place.keeper.kill());
            drop(place.keeper.wait());
            leavings::forget_process(place.keeper.id());
        }
        for name in self.interfaces.iter().chain([&self.bridge()]) {
            // An end of a pair goes with the other, in its own time.
            drop(sh(&format!("ip link del {name}")));
            leavings::forget_interface(name);
        }
    }
}

/// Takes away what processes that were killed have left: it has the address of every network.
fn sweep() {
    let interfaces = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten();
    for interface in interfaces {
        let name = interface.file_name();
        if let Some(name) = name.to_str()
            && let Some(owner) = owner(name)
            && !Path::new("/proc").join(owner.to_string()).exists()
        {
            drop(sh(&format!("ip link del {name}")));
        }
    }
}

/// The process that made an interface of that name, if one of ours did.
fn owner(name: &str) -> Option<u32> {
    let mut parts = name.split('.');
    let kind = parts
        .next()?
        .trim_end_matches(|letter: char| letter.is_ascii_digit());
    let is_ours = matches!(kind, "sk" | "skb" | "sv") && parts.clone().count() == 2;
    is_ours.then(|| u32::from_str_radix(parts.next()?, 16).ok())?
}

/// Makes a TAP interface on a bridge. The second way to make it is busybox's, in the rig.
fn tap_on(tap: &str, bridge: &str) -> String {
    format!(
        "{{ ip tuntap add dev {tap} mode tap 2>/dev/null || tunctl -t {tap}; }} && \
         ip link set {tap} master {bridge} && ip link set {tap} up"
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interface_tells_who_made_it() {
        for (name, made_by) in [
            ("skb.1f.0", Some(0x1f)),
            ("sk.3fffff.12-1", Some(0x3f_ffff)),
            ("sv1.1f.0", Some(0x1f)),
            ("eth0", None),
            ("sk.1f", None),
            ("sky.1f.0", None),
            ("sk.tap.0", None),
        ] {
            assert_eq!(owner(name), made_by, "{name}");
        }
    }
}
