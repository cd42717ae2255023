//! One connection: two sockets and two pumps in one thread.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, connect, sockopt};
use rustix::thread::set_current_timer_slack;

use super::bell::wait;
use super::hub::Membership;
use super::plan::{Cut, Direction};
use super::policy::Policy;
use super::pump::{Appetite, Delivery, Pump};
use super::script::Script;
use super::socket::{finish, prepare, reset, unconnected};
use super::stats::{ConnectionEnd, FlowStats};

/// Whatever comes with an error or a hang-up is found out by reading or writing.
const TROUBLE: PollFlags = PollFlags::ERR.union(PollFlags::HUP);

/// Serves a connection to its end: the body of its thread.
pub(super) fn serve(mut membership: Membership, client: TcpStream, target: SocketAddr) {
    // Without this the kernel makes each wait up to 50 us longer.
    if let Err(error) = set_current_timer_slack(NonZeroU64::new(1)) {
        log::warn!("relay: delays will be coarse: {error}");
    }
    let end = forward(&membership, client, target).unwrap_or_else(|error| {
        log::warn!(
            "relay: connection {} is given up: {error}",
            membership.index()
        );
        ConnectionEnd::Stopped
    });
    membership.end = end;
}

/// Forwards until the connection has ended and closes the sockets.
fn forward(
    membership: &Membership,
    client: TcpStream,
    target: SocketAddr,
) -> io::Result<ConnectionEnd> {
    prepare(&client)?;
    let server = TcpStream::from(unconnected(target, SocketFlags::NONBLOCK)?);
    prepare(&server)?;
    let mut connection = Connection {
        membership,
        policy: None,
        sockets: [client, server],
        pumps: [(); 2].map(|()| Pump::new(Script::default())),
    };
    let end = match connection.reach(target)? {
        ControlFlow::Break(end) => end,
        ControlFlow::Continue(()) => connection.run()?,
    };
    connection.close(end)?;
    Ok(end)
}

/// One connection. Pump `n` reads from socket `n` and writes to the other one.
struct Connection<'a> {
    membership: &'a Membership,
    policy: Option<Arc<Policy>>,
    /// Those to client and server.
    sockets: [TcpStream; 2],
    /// In the order of [`Direction::ALL`].
    pumps: [Pump; 2],
}

impl Connection<'_> {
    /// Connects to the server, unless the connection is to end before.
    fn reach(&self, target: SocketAddr) -> io::Result<ControlFlow<ConnectionEnd>> {
        let (bell, server) = (&self.membership.bell, &self.sockets[1]);
        match connect(server, &target) {
            Ok(()) => return Ok(ControlFlow::Continue(())),
            Err(Errno::INPROGRESS) => {}
            Err(_) => return Ok(ControlFlow::Break(ConnectionEnd::NoServer)),
        }
        loop {
            bell.hear();
            if let Some(end) = self.membership.ordered_end() {
                return Ok(ControlFlow::Break(end));
            }
            let mut fds = [
                PollFd::new(server, PollFlags::OUT),
                PollFd::new(bell, PollFlags::IN),
            ];
            wait(&mut fds, None)?;
            if !fds[0].revents().is_empty() {
                return Ok(match sockopt::socket_error(server)? {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(Errno::CONNRESET) => ControlFlow::Break(ConnectionEnd::PeerReset),
                    Err(_) => ControlFlow::Break(ConnectionEnd::NoServer),
                });
            }
        }
    }

    /// Forwards until the connection has ended, in whatever way.
    fn run(&mut self) -> io::Result<ConnectionEnd> {
        let mut told = true;
        loop {
            if told {
                self.follow();
                if let Some(end) = self.membership.ordered_end() {
                    return Ok(end);
                }
            }
            let delivered = self.deliver();
            self.record();
            match delivered {
                ControlFlow::Break(end) => return Ok(end),
                ControlFlow::Continue(deadline) => told = self.wait(deadline)?,
            }
        }
    }

    /// Follows a new policy, if there is one.
    fn follow(&mut self) {
        if let Some(policy) = self.membership.new_policy() {
            let now = self.membership.hub().now();
            for (pump, direction) in self.pumps.iter_mut().zip(Direction::ALL) {
                pump.follow(policy.script(self.membership.index(), direction, now));
            }
            self.policy = Some(policy);
        }
    }

    /// Delivers what is due in both directions; goes on with the time when more will be.
    fn deliver(&mut self) -> ControlFlow<ConnectionEnd, Option<Duration>> {
        let now = self.membership.hub().now();
        let mut deadline = None;
        for way in 0..2 {
            match self.pumps[way].deliver(&self.sockets[1 - way], now) {
                Delivery::Waits(time) => deadline = earlier(deadline, time),
                Delivery::SinkLost => {
                    self.pumps[1 - way].source_is_broken(now);
                    deadline = Some(now);
                }
                Delivery::SourceReset => return ControlFlow::Break(ConnectionEnd::PeerReset),
                Delivery::Cut(how) => {
                    self.refuse_others();
                    return ControlFlow::Break(ConnectionEnd::Cut(how));
                }
                Delivery::CutThese { how, first, last } => {
                    self.refuse_others();
                    self.membership.hub().cut(first..=last, how);
                    if (first..=last).contains(&self.membership.index()) {
                        return ControlFlow::Break(ConnectionEnd::Cut(how));
                    }
                    deadline = Some(now);
                }
            }
        }
        if self.pumps.iter().all(Pump::is_finished) {
            return ControlFlow::Break(ConnectionEnd::Finished);
        }
        ControlFlow::Continue(deadline)
    }

    /// Closes the door if the plan says so, before the peers learn of the cut and come back.
    fn refuse_others(&self) {
        let refusal = self
            .policy
            .as_ref()
            .and_then(|policy| policy.refusal_after_cut(self.membership.index()));
        if let Some(lasting) = refusal {
            self.membership.hub().refuse_for(lasting);
        }
    }

    /// Waits until there is something to do and reads what there is; returns whether the bell rang.
    fn wait(&mut self, deadline: Option<Duration>) -> io::Result<bool> {
        let now = self.membership.hub().now();
        let has_read = self.read_backlog(now);
        let appetites = self.pumps.each_mut().map(|pump| pump.appetite(now));
        let deadline = appetites.iter().fold(
            has_read.then_some(now).or(deadline),
            |deadline, appetite| match appetite {
                Appetite::From(time) => earlier(deadline, Some(*time)),
                Appetite::Now | Appetite::None => deadline,
            },
        );
        let interests = [0, 1].map(|way| self.interest(way, appetites[way]));

        let bell = &self.membership.bell;
        let entry = |way: usize| match interests[way] {
            Some(events) => PollFd::new(&self.sockets[way], events),
            None => PollFd::new(bell, PollFlags::empty()),
        };
        let mut fds = [PollFd::new(bell, PollFlags::IN), entry(0), entry(1)];
        wait(&mut fds, deadline.map(|time| time.saturating_sub(now)))?;
        let [told, client, server] = fds.map(|fd| fd.revents());

        self.react(0, client, interests[0]);
        self.react(1, server, interests[1]);
        Ok(!told.is_empty() && bell.hear())
    }

    /// Reads from the sources that have been kept waiting; returns whether there were any.
    fn read_backlog(&mut self, now: Duration) -> bool {
        let mut has_read = false;
        for (pump, source) in self.pumps.iter_mut().zip(&self.sockets) {
            if pump.is_backlogged(now) {
                pump.receive(source, now);
                has_read = true;
            }
        }
        has_read
    }

    /// What to ask a socket for. One that is asked for nothing is still watched if its peer has
    /// only stopped to send, for then nothing but the poll can tell that it is gone altogether.
    fn interest(&self, way: usize, appetite: Appetite) -> Option<PollFlags> {
        let (reader, writer) = (&self.pumps[way], &self.pumps[1 - way]);
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, appetite == Appetite::Now);
        events.set(PollFlags::OUT, writer.waits_for_sink());
        let is_watched = reader.source_has_ended() && !writer.sink_has_ended();
        (is_watched || !events.is_empty()).then_some(events)
    }

    /// Reacts to the news of a socket.
    fn react(&mut self, way: usize, news: PollFlags, interest: Option<PollFlags>) {
        let Some(asked) = interest.filter(|_| !news.is_empty()) else {
            return;
        };
        let now = self.membership.hub().now();
        if asked.contains(PollFlags::IN) && news.intersects(PollFlags::IN | TROUBLE) {
            self.pumps[way].receive(&self.sockets[way], now);
        }
        if asked.contains(PollFlags::OUT) {
            self.pumps[1 - way].sink_is_ready();
        }
        if asked.is_empty() && news.intersects(TROUBLE) {
            self.pumps[1 - way].end_sink();
            self.pumps[way].source_is_broken(now);
        }
    }

    /// Adds to the statistics what the pumps have done.
    fn record(&mut self) {
        let flows = self.pumps.each_mut().map(Pump::take_flow);
        if flows.iter().any(|flow| *flow != FlowStats::default()) {
            self.membership.record(flows);
        }
    }

    /// Closes both sockets in the way that belongs to an end.
    fn close(self, end: ConnectionEnd) -> io::Result<()> {
        for socket in &self.sockets {
            match end {
                ConnectionEnd::Finished => {}
                ConnectionEnd::Cut(Cut::Fin) => finish(socket),
                _ => reset(socket)?,
            }
        }
        Ok(())
    }
}

/// The earlier one of two times that may not be there.
fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
