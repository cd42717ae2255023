//! The user's keys on their way to whatever guest is here.

use std::sync::Arc;

use super::Ending;
use super::notices::{Notice, Notifier};
use super::place::Place;
use crate::console::ConsoleInput;
use crate::machine::Machine;

/// Types on the serial port of the guest, once there is one.
#[derive(Debug)]
pub(super) struct Console {
    place: Place,
    notifier: Notifier,
}

impl Console {
    pub(super) fn new(place: Place, notifier: Notifier) -> Self {
        Self { place, notifier }
    }

    fn machine(&self) -> Option<Arc<Machine>> {
        self.place.machine()
    }
}

impl ConsoleInput for Console {
    fn room(&self) -> usize {
        self.machine()
            .map_or(0, |machine| machine.devices().serial().input_room_bytes())
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(machine) = self.machine() {
            machine.devices().serial().enqueue(bytes);
        }
    }

    fn leave(&mut self) {
        self.notifier.send(Notice::End(Ending::Stopped));
    }
}
