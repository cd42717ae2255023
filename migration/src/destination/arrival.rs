//! One VM's arrival, from its offer to its last page: the thread of the control connection.

use std::sync::Arc;
use std::thread::Scope;
use std::time::Instant;

use rustix::rand::{GetRandomFlags, getrandom};

use crate::auth::Key;
use crate::destination::attempt::Attempt;
use crate::destination::door::{Caller, Door, Open};
use crate::destination::host::Host;
use crate::destination::region::FaultRegion;
use crate::destination::{Arrival, DestinationVm, Notice};
use crate::error::{Error, Result};
use crate::link::Patience;
use crate::offer::{Offer, Refusal};
use crate::options::Mode;
use crate::wire::{Hello, Refuse, SessionId};

/// Takes in the VM that `caller` offers; `None` if nothing came of it before the hand-over.
pub(super) fn take_in<'scope>(
    scope: &'scope Scope<'scope, '_>,
    caller: Caller,
    mut vm: Box<dyn DestinationVm>,
    door: &Door<'_>,
) -> Option<Arrival> {
    let began = Instant::now();
    let Caller {
        reader,
        mut writer,
        hello: Hello {
            mode,
            streams,
            offer,
        },
        session_key: key,
    } = caller;
    let peer = reader.link().peer();
    door.notices.notice(&Notice::Offered {
        peer,
        offer: &offer,
        mode,
    });
    let patience = Patience::whole(door.timeouts.answer);
    let reject = |error: &Error| {
        door.notices.notice(&Notice::Rejected { peer, error });
        None
    };

    let accepted = prepare(vm.as_mut(), &offer, streams.get(), mode, key);
    let (session, attempt) = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => {
            // A source that is refused may try again at once.
            door.close();
            // If this cannot be sent the source is gone, and the refusal is told here all the same.
            let _ = writer.send(&Refuse(refusal.clone()), patience);
            return reject(&Error::Refused { peer, refusal });
        }
    };
    door.open_session(Open {
        session,
        attempt: Arc::clone(&attempt),
    });
    let mut host = Host::new(door, Arc::clone(&attempt), reader, writer, mode);
    let taken_in = host.take_in(scope, session, vm.as_mut());
    // The thread that serves faults waits for them until it is told that none will come.
    attempt.stop.raise();
    let error = match taken_in {
        Ok(()) => {
            let report = host.report(began.elapsed());
            return Some(Arrival {
                vm,
                outcome: Ok(report),
            });
        }
        Err(error) => attempt.cause_of(error),
    };
    // A failure before the hand-over leaves the guest at the source, and this end drops what it has
    // of it. After the hand-over there is nobody else: the guest stays here, frozen at the first
    // page it misses.
    attempt.fail(Error::Stopped);
    if !host.owns_guest() {
        door.abandon(session);
    }
    host.say_why(&error);
    if host.owns_guest() {
        Some(Arrival {
            vm,
            outcome: Err(error),
        })
    } else {
        reject(&error)
    }
}

/// Builds the VM and makes its memory ready to receive.
fn prepare(
    vm: &mut dyn DestinationVm,
    offer: &Offer,
    streams: u16,
    mode: Mode,
    key: Option<Key>,
) -> Result<(SessionId, Arc<Attempt>), Refusal> {
    let ram = vm.prepare(offer)?;
    let ready = || {
        let (mapped, offered) = (ram.pages(), offer.memory.pages());
        if mapped != offered {
            return Err(Error::MappedPages { mapped, offered });
        }
        let mut session = [0; 16];
        getrandom(&mut session, GetRandomFlags::empty()).map_err(|errno| Error::Random {
            source: errno.into(),
        })?;
        let attempt = Attempt::new(FaultRegion::register(ram)?, streams, mode, key)?;
        Ok((SessionId(session), Arc::new(attempt)))
    };
    ready().map_err(|error| Refusal::from(&error))
}
