//! A link that a test sets, in place of an interface's.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};

use super::{Link, LinkWatch};

/// The link; clones mean the same one.
#[derive(Clone, Debug)]
pub(in crate::net) struct LinkSwitch(Arc<Switched>);

#[derive(Debug)]
struct Switched {
    link: Mutex<Link>,
    watch: LinkWatch,
}

impl LinkSwitch {
    pub(in crate::net) fn new(link: Link) -> Self {
        Self(Arc::new(Switched {
            link: Mutex::new(link),
            watch: LinkWatch::of_news(event()).unwrap(),
        }))
    }

    pub(in crate::net) fn set(&self, link: Link) {
        *self.0.link.lock().unwrap() = link;
        rustix::io::write(&self.0.watch.news, &1_u64.to_ne_bytes()).unwrap();
    }

    pub(in crate::net) fn link(&self) -> Link {
        *self.0.link.lock().unwrap()
    }

    pub(in crate::net) fn watch(&self) -> &LinkWatch {
        &self.0.watch
    }
}

/// An event that says that something has changed.
pub(super) fn event() -> OwnedFd {
    eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap()
}
