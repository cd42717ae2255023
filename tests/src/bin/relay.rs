//! `relay`: a bad network between two TCP peers, the same one each time.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::time::Duration;

use ::tests::harness::complain;
use ::tests::relay::{ConnectionEnd, ConnectionStats, Cut, Effect, Plan, Relay, Rule, When};
use argh::FromArgs;
use vmm::config::{BitRate, ByteSize, TimeSpan};

/// Wrong usage, as in the other programs of this project.
const EXIT_USAGE: u8 = 2;

/// How long one wait for news of the connections lasts; there is no end to them.
const ONE_WAIT: Duration = Duration::from_secs(3600);

/// Forwards TCP connections and does to them what a bad network does, the same for the same seed.
#[derive(FromArgs)]
#[argh(note = "\
A rule is [CONNECTIONS:][DIRECTION:]EFFECT, for example 2:to-server:reset@1000000
  CONNECTIONS  2, 2-5 or 2- (the first one is 0)     DIRECTION  to-server or to-client
  EFFECT       delay=TIME  jitter=TIME  rate=RATE  stall=TIME@WHEN  stall=forever@WHEN
               reset@WHEN  fin@WHEN  half-close@WHEN  flip@SIZE  flip-one-in=SIZE
               reset=CONNECTIONS@WHEN  fin=CONNECTIONS@WHEN
               refuse-after-cut=TIME
  WHEN         1M (after so many bytes), 1M-50M (the seed chooses), 2s (after a time)")]
struct Args {
    /// where to listen, for example 127.0.0.1:4000 or 127.0.0.1:0
    #[argh(option)]
    listen: SocketAddr,

    /// where to connect to for each client
    #[argh(option)]
    to: SocketAddr,

    /// decides what the rules leave to chance (default 0)
    #[argh(option, default = "0")]
    seed: u64,

    /// how much later bytes arrive, for example 5ms
    #[argh(option)]
    delay: Option<TimeSpan>,

    /// how much later still at most, for example 1ms
    #[argh(option)]
    jitter: Option<TimeSpan>,

    /// bits per second of all connections together, in each direction, for example 1G
    #[argh(option)]
    rate: Option<BitRate>,

    /// resets a connection after so many bytes in either direction, for example 16M
    #[argh(option)]
    cut_after: Option<ByteSize>,

    /// refuses new connections for a time after a connection was cut by a rule
    #[argh(option)]
    refuse_after_cut: Option<TimeSpan>,

    /// one more rule; can be given many times
    #[argh(option, long = "rule")]
    rules: Vec<Rule>,
}

impl Args {
    fn plan(self) -> Plan {
        let bits_per_s = self
            .rate
            .and_then(|rate| NonZeroU64::new(rate.bits_per_s()));
        let reset = |bytes: ByteSize| Effect::Cut {
            at: When::Byte(bytes.bytes()),
            how: Cut::Reset,
        };
        let effects = [
            self.delay.map(|delay| Effect::Delay(delay.duration())),
            self.jitter.map(|jitter| Effect::Jitter(jitter.duration())),
            bits_per_s.map(|bits_per_s| Effect::Rate { bits_per_s }),
            self.cut_after.map(reset),
            self.refuse_after_cut
                .map(|lasting| Effect::RefuseAfterCut(lasting.duration())),
        ];
        let plan = effects
            .into_iter()
            .flatten()
            .fold(Plan::new(self.seed), Plan::rule);
        self.rules.into_iter().fold(plan, Plan::rule)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let args = match Args::from_args(&["relay"], words.get(1..).unwrap_or_default()) {
        Ok(args) => args,
        Err(early) if early.status.is_ok() => {
            println!("{}", early.output);
            return ExitCode::SUCCESS;
        }
        Err(early) => {
            eprintln!("{}", early.output);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let (listen, to) = (args.listen, args.to);
    match Relay::listen(listen, to, args.plan()) {
        Ok(relay) => {
            println!("relay: {} to {to}; Ctrl-C ends it", relay.address());
            tell(&relay)
        }
        Err(error) => {
            complain("relay", &error);
            ExitCode::FAILURE
        }
    }
}

/// Says of each connection how it ended, for ever.
fn tell(relay: &Relay) -> ! {
    let mut told = BTreeSet::new();
    let mut ended = 0;
    loop {
        let Ok(stats) = relay.wait_until(ONE_WAIT, |stats| stats.ended > ended) else {
            continue;
        };
        ended = stats.ended;
        let remembered = stats.connections.iter();
        let over: Vec<_> = remembered
            .filter_map(|connection| Some((connection, connection.end?)))
            .collect();
        for (connection, end) in &over {
            if !told.contains(&connection.index) {
                println!("{}", line(connection, *end));
            }
        }
        told = over
            .iter()
            .map(|(connection, _)| connection.index)
            .collect();
    }
}

fn line(connection: &ConnectionStats, end: ConnectionEnd) -> String {
    let how = match end {
        ConnectionEnd::Finished => "finished",
        ConnectionEnd::PeerReset => "reset by a peer",
        ConnectionEnd::Cut(Cut::Reset) => "cut by reset",
        ConnectionEnd::Cut(Cut::Fin) => "cut by FIN",
        ConnectionEnd::NoServer => "server not reached",
        ConnectionEnd::Stopped => "given up",
    };
    format!(
        "connection {}: {how}; bytes forwarded: {} to the server, {} to the client; bits inverted: {}",
        connection.index,
        connection.to_server.forwarded_bytes,
        connection.to_client.forwarded_bytes,
        connection.to_server.flipped_bits + connection.to_client.flipped_bits,
    )
}
