//! The link of a card: whether the interface that its cable ends in is up, and how a change is noticed.
//!
//! Up and down are what a user of the host says (IFF_UP: `ip link set tap0 down`). An interface's carrier
//! says whether a process of the host has it, which is ourselves, and is no news to the guest.
//!
//! The descriptor of a TAP interface can be written to exactly as long as the interface is up, by whatever
//! name and in whichever network namespace it is by now (Linux, drivers/net/tun.c, `tun_sock_writeable`).
//! It wakes who waits for that when the interface comes up; when it goes down, netlink tells (rtnetlink(7),
//! RTMGRP_LINK). Neither is asked what has happened: both say to look again.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{read, retry_on_intr};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(super) mod switch;

/// RTMGRP_LINK: the group that hears of interfaces.
const INTERFACES: u32 = libc::RTMGRP_LINK.cast_unsigned();

const AT_ONCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

/// Whether an interface is up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// It takes and gives frames.
    #[default]
    Up,
    /// It does not, or is gone.
    Down,
}

impl Link {
    /// That of the interface behind the descriptor `tap`.
    pub(super) fn of_tap(tap: BorrowedFd<'_>) -> Self {
        let mut polled = [PollFd::from_borrowed_fd(tap, PollFlags::OUT)];
        let asked = retry_on_intr(|| poll(&mut polled, Some(&AT_ONCE)));
        match asked {
            Ok(_) if !polled[0].revents().contains(PollFlags::OUT) => Self::Down,
            // A kernel that cannot say takes no link away.
            _ => Self::Up,
        }
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

/// Its descriptor can be read when the link may have changed.
#[derive(Debug)]
pub(super) struct LinkWatch {
    /// An epoll of all that may say so.
    any: OwnedFd,
    /// What says that something changed, and must be read.
    news: OwnedFd,
}

impl LinkWatch {
    /// For the descriptor of an interface in the network namespace of this process. One that is moved to
    /// another is noticed when it comes up there, and not when it goes down.
    pub(super) fn of_tap(tap: BorrowedFd<'_>) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // No protocol is NETLINK_ROUTE.
        let news = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&news, &SocketAddrNetlink::new(0, INTERFACES))?;
        let watch = Self::of_news(news)?;
        watch.add_tap(tap)?;
        Ok(watch)
    }

    /// For a descriptor that never blocks.
    fn of_news(news: OwnedFd) -> io::Result<Self> {
        let any = epoll::create(CreateFlags::CLOEXEC)?;
        let watch = Self { any, news };
        watch.add(watch.news.as_fd(), EventFlags::IN)?;
        Ok(watch)
    }

    /// Speaks once whenever it comes up, not all the time that it is.
    fn add_tap(&self, tap: BorrowedFd<'_>) -> io::Result<()> {
        self.add(tap, EventFlags::OUT | EventFlags::ET)
    }

    fn add(&self, descriptor: BorrowedFd<'_>, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(
            &self.any,
            descriptor,
            EventData::new_u64(0),
            flags,
        )?)
    }

    /// Takes note of all that was said so far: whoever looks at the link next sees it as it is.
    pub(super) fn settle(&self) {
        let mut events = [const { MaybeUninit::uninit() }; 2];
        // Not to be told is to look once more.
        drop(epoll::wait(&self.any, &mut events, Some(&AT_ONCE)));
        // What was lost (ENOBUFS) is no loss, and what follows it is read the next time.
        while read(&self.news, &mut [0_u8; 64]).is_ok() {}
    }
}

impl AsFd for LinkWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.any.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::switch::{LinkSwitch, event};
    use super::*;

    fn has_news(watch: &LinkWatch) -> bool {
        let mut polled = [PollFd::new(watch, PollFlags::IN)];
        poll(&mut polled, Some(&AT_ONCE)).unwrap() > 0
    }

    #[test]
    fn watch_of_a_descriptor_speaks_once_each_time_it_can_be_written() {
        let (near, far) = UnixDatagram::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        assert_eq!(Link::of_tap(near.as_fd()), Link::Up);
        let watch = LinkWatch::of_news(event()).unwrap();
        watch.add_tap(near.as_fd()).unwrap();
        assert!(has_news(&watch));
        watch.settle();
        assert!(!has_news(&watch));
        while near.send(&[0; 60]).is_ok() {}
        assert_eq!(Link::of_tap(near.as_fd()), Link::Down);
        while Link::of_tap(near.as_fd()) == Link::Down {
            far.recv(&mut [0; 60]).unwrap();
        }
        assert!(has_news(&watch));
        watch.settle();
        assert!(!has_news(&watch));
    }

    #[test]
    fn watch_that_is_settled_speaks_again_of_the_next_change() {
        let switch = LinkSwitch::new(Link::Up);
        for link in [Link::Down, Link::Up, Link::Up] {
            assert!(!has_news(switch.watch()));
            switch.set(link);
            assert!(has_news(switch.watch()));
            switch.watch().settle();
        }
        assert!(!has_news(switch.watch()));
    }
}
