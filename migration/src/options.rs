//! How a migration is to be done: modes, streams and the limits of patience.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::{NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::auth::Key;
use crate::error::{Error, Result};
use crate::order::SendPlan;
use crate::tls::Tls;

/// Most background connections of one migration. Our choice: more than any link was seen to need.
pub const MAX_STREAMS: u16 = 64;

/// Our choice: longer than any pause of a guest that still finds pages missing one after the other.
const DRAIN_AFTER: Duration = Duration::from_millis(500);

/// Our choice, as in QEMU: few services notice a pause of this length.
const MAX_DOWNTIME: Duration = Duration::from_millis(300);

/// When the guest moves, in relation to its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The guest first: it runs at the destination while its memory follows.
    PostCopy,
    /// The memory first: the guest stands still until all of it has arrived.
    StopAndCopy,
    /// The memory first, while the guest runs on: what it writes meanwhile goes again, in rounds,
    /// until the rest goes within the downtime that is allowed.
    PreCopy,
    /// One round of the memory while the guest runs on, then the guest; what it wrote meanwhile
    /// follows.
    Hybrid,
    /// Rounds as long as they pay, then as in pre-copy if next to nothing is left, or else as in
    /// hybrid.
    Auto,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PostCopy,
        Self::StopAndCopy,
        Self::PreCopy,
        Self::Hybrid,
        Self::Auto,
    ];

    /// Whether pages are sent while the guest runs at the source.
    pub(crate) const fn has_rounds(self) -> bool {
        matches!(self, Self::PreCopy | Self::Hybrid | Self::Auto)
    }

    /// Whether the guest may run at the destination while pages are missing.
    pub(crate) const fn may_run_incomplete(self) -> bool {
        matches!(self, Self::PostCopy | Self::Hybrid | Self::Auto)
    }

    /// Whether all memory may be there before the guest runs at the destination.
    pub(crate) const fn may_fill_first(self) -> bool {
        matches!(self, Self::StopAndCopy | Self::PreCopy | Self::Auto)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PostCopy => "post-copy",
            Self::StopAndCopy => "stop-and-copy",
            Self::PreCopy => "pre-copy",
            Self::Hybrid => "hybrid",
            Self::Auto => "auto",
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.to_string() == text)
            .ok_or_else(|| Error::UnknownMode {
                mode: text.to_owned(),
            })
    }
}

/// Our choice: enough for a switch or a route to come back.
const RECONNECT_FOR: Duration = Duration::from_secs(60);

/// Whether the source reads its memory once more when all of it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verify {
    /// It does not: chunks are checked on their way, and the digests of what was sent and of what
    /// was received are compared.
    #[default]
    Off,
    /// It does, and the digest of that memory is compared as well: nothing has written to it since
    /// the guest stood still.
    On,
}

/// A rate of bytes on the wire, in bits per second; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    bits_per_s: NonZeroU64,
}

impl Bandwidth {
    /// That many bits per second; `None` for zero.
    pub const fn new(bits_per_s: u64) -> Option<Self> {
        match NonZeroU64::new(bits_per_s) {
            Some(bits_per_s) => Some(Self { bits_per_s }),
            None => None,
        }
    }

    /// The rate in bits per second.
    pub const fn bits_per_s(self) -> u64 {
        self.bits_per_s.get()
    }

    /// How long that many bytes take.
    pub(crate) fn time_for(self, bytes: u64) -> Duration {
        let ns = u128::from(bytes) * 8 * 1_000_000_000 / u128::from(self.bits_per_s());
        Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
    }
}

/// Number of background connections, 1 to [`MAX_STREAMS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Streams(u16);

impl Streams {
    /// That many connections.
    ///
    /// # Errors
    /// If it is none or more than [`MAX_STREAMS`].
    pub fn new(streams: u16) -> Result<Self> {
        if (1..=MAX_STREAMS).contains(&streams) {
            Ok(Self(streams))
        } else {
            Err(Error::StreamCount { streams })
        }
    }

    /// The number itself.
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Most connections that are chosen for a user. Our choice: four fill 40 Gb/s, by the figures of
/// others (Cloud Hypervisor: 7.2 GiB/s over four); beyond, a link is to be asked, not guessed.
const MAX_DEFAULT_STREAMS: usize = 4;

impl Streams {
    /// As many connections as are chosen for a destination there: 1 to 4, one for every two cores
    /// of this host over a network, and one for every core within the host.
    pub(crate) fn usual(peer: IpAddr) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self::for_cores(cores, peer)
    }

    /// As many as `cores` have to spare: half of them are the guests'. Over a network more would
    /// only share the link, and each of their chunks would be under way for longer; within a host it
    /// is the copying that takes the time.
    fn for_cores(cores: usize, peer: IpAddr) -> Self {
        let spare = if peer.is_loopback() { cores } else { cores / 2 };
        let streams = spare.clamp(1, MAX_DEFAULT_STREAMS);
        Self(u16::try_from(streams).expect("the bound is small"))
    }
}

impl FromStr for Streams {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // What is no number of this size is out of bounds whatever it is.
        Self::new(text.parse().unwrap_or(0))
    }
}

impl TryFrom<u16> for Streams {
    type Error = Error;

    fn try_from(streams: u16) -> Result<Self> {
        Self::new(streams)
    }
}

impl From<Streams> for u16 {
    fn from(streams: Streams) -> Self {
        streams.0
    }
}

/// How long to wait for the other end before giving up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection to come about.
    pub connect: Duration,
    /// For an answer while giving up costs nothing, because the guest can still run at the source.
    pub answer: Duration,
    /// For any byte to move after the hand-over, until the connections count as lost.
    pub stall: Duration,
}

impl Default for Timeouts {
    /// Our choice: 10 s each, as long as a person waits.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(10),
            stall: Duration::from_secs(10),
        }
    }
}

/// How an end makes sure of the other one. The default asks for nothing.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The key that both ends must have.
    pub key: Option<Key>,
    /// Certificates with which every connection is encrypted.
    pub tls: Option<Tls>,
}

/// What a destination is asked to do.
#[derive(Clone, Debug)]
pub struct DestinationOptions {
    /// The limits of patience.
    pub timeouts: Timeouts,
    /// How long to wait for a source whose connections were lost; never if it is zero.
    pub reconnect_for: Duration,
    /// Who may connect.
    pub trust: Trust,
}

impl Default for DestinationOptions {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            reconnect_for: RECONNECT_FOR,
            trust: Trust::default(),
        }
    }
}

/// What a source is asked to do.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// `HOST:PORT` of the destination.
    pub destination: String,
    /// When the guest moves.
    pub mode: Mode,
    /// Connections for pages that nobody waits for; while one keeps the link busy the others rest.
    /// Chosen by cores and destination if it is left open.
    pub streams: Option<Streams>,
    /// In which order pages leave while the guest runs at the destination.
    pub send_plan: SendPlan,
    /// How long the guest runs without a fault until demand paging sends the rest
    /// ([`Prepaging::None`](crate::Prepaging::None)).
    pub drain_after: Duration,
    /// The rate that pages keep to which nobody waits for, if there is a limit.
    pub bandwidth: Option<Bandwidth>,
    /// For how long the guest may stand still, where the mode can keep it.
    pub max_downtime: Duration,
    /// The limits of patience.
    pub timeouts: Timeouts,
    /// How long to call a destination again to which the connections were lost after the hand-over;
    /// never if it is zero.
    pub reconnect_for: Duration,
    /// Whether to read the memory once more at the end.
    pub verify: Verify,
    /// Whom to give the VM to.
    pub trust: Trust,
}

impl SourceOptions {
    /// A post-copy migration to `destination` with everything else at its default.
    pub fn new(destination: impl Into<String>) -> Self {
        Self {
            destination: destination.into(),
            mode: Mode::PostCopy,
            streams: None,
            send_plan: SendPlan::default(),
            drain_after: DRAIN_AFTER,
            bandwidth: None,
            max_downtime: MAX_DOWNTIME,
            timeouts: Timeouts::default(),
            reconnect_for: RECONNECT_FOR,
            verify: Verify::Off,
            trust: Trust::default(),
        }
    }

    /// Connections for pages that nobody waits for, to a destination there.
    pub(crate) fn streams_to(&self, peer: SocketAddr) -> Streams {
        self.streams.unwrap_or_else(|| Streams::usual(peer.ip()))
    }

    /// The order in which pages leave: linear while no guest waits for them.
    pub(crate) fn plan(&self) -> SendPlan {
        match self.mode {
            Mode::PostCopy | Mode::Hybrid | Mode::Auto => self.send_plan,
            Mode::StopAndCopy | Mode::PreCopy => SendPlan::LINEAR,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_parses_what_it_displays_and_nothing_else() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        assert!("postcopy".parse::<Mode>().is_err());
    }

    #[test]
    fn streams_are_chosen_by_cores_and_link_within_their_bounds() {
        let chosen = |peer: &str| {
            let peer = peer.parse().unwrap();
            [0, 1, 2, 5, 8, 1000].map(|cores| Streams::for_cores(cores, peer).get())
        };
        assert_eq!(chosen("192.0.2.7"), [1, 1, 1, 2, 4, 4]);
        assert_eq!(chosen("127.0.0.1"), [1, 1, 2, 4, 4, 4]);
    }

    #[test]
    fn streams_out_of_bounds_are_refused() {
        assert!(Streams::new(0).is_err());
        assert!(Streams::new(MAX_STREAMS + 1).is_err());
        assert!(postcard::from_bytes::<Streams>(&[0]).is_err());
    }
}
