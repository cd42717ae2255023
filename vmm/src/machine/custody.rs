//! Who may run the guest: the pure part of pause, resume and hand-over.
//!
//! ```text
//!                  hold                      (never released after the token)
//!   Here ------------------------> Held ----------------------------------> process ends
//!    ^  <------------------------
//!                 release
//! ```
//! Beside it stands what the user wants, running or paused; it may change at any time and is
//! carried to the destination with the machine.

/// Whether the guest's vCPUs shall run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// The user wants the guest to run.
    Running,
    /// The user has paused the guest.
    Paused,
}

/// Where the guest is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Here,
    Held,
}

/// A change of custody that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A migration or snapshot holds the guest.
    #[error("the guest is being moved")]
    Held,
}

/// What a change of custody asks the vCPUs to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// They go on as they are.
    None,
    /// They must stop.
    Stop,
    /// They must run.
    Start,
}

/// The custody of one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Custody {
    wish: Wish,
    holder: Holder,
}

impl Custody {
    /// A guest that is here, as the user wants it.
    #[must_use]
    pub fn here(wish: Wish) -> Self {
        Self {
            wish,
            holder: Holder::Here,
        }
    }

    /// What the user wants.
    #[must_use]
    pub fn wish(self) -> Wish {
        self.wish
    }

    /// Whether the vCPUs may run now.
    #[must_use]
    pub fn runs(self) -> bool {
        self == Self::here(Wish::Running)
    }

    /// The user pauses or resumes the guest.
    ///
    /// # Errors
    /// The guest is held: it may be gone the next moment.
    pub fn ask(&mut self, wish: Wish) -> Result<Change, Refused> {
        match self.holder {
            Holder::Held => Err(Refused::Held),
            Holder::Here => Ok(self.change_to(Self { wish, ..*self })),
        }
    }

    /// A migration takes the guest.
    ///
    /// # Errors
    /// Another one has it.
    pub fn hold(&mut self) -> Result<Change, Refused> {
        match self.holder {
            Holder::Held => Err(Refused::Held),
            Holder::Here => Ok(self.change_to(Self {
                holder: Holder::Held,
                ..*self
            })),
        }
    }

    /// The migration gives the guest back: it has not moved.
    pub fn release(&mut self) -> Change {
        self.change_to(Self {
            holder: Holder::Here,
            ..*self
        })
    }

    fn change_to(&mut self, next: Self) -> Change {
        let change = match (self.runs(), next.runs()) {
            (true, false) => Change::Stop,
            (false, true) => Change::Start,
            _ => Change::None,
        };
        *self = next;
        change
    }
}

#[cfg(test)]
mod tests {
    use super::{Change, Custody, Refused, Wish};

    #[test]
    fn custody_held_and_released_stops_and_starts_a_running_guest() {
        let mut custody = Custody::here(Wish::Running);
        assert_eq!(custody.hold(), Ok(Change::Stop));
        assert_eq!(custody.hold(), Err(Refused::Held));
        assert!(!custody.runs());
        assert_eq!(custody.release(), Change::Start);
        assert!(custody.runs());
    }

    #[test]
    fn custody_of_a_guest_its_user_paused_stays_paused_after_release() {
        let mut custody = Custody::here(Wish::Running);
        assert_eq!(custody.ask(Wish::Paused), Ok(Change::Stop));
        assert_eq!(custody.ask(Wish::Paused), Ok(Change::None));
        assert_eq!(custody.hold(), Ok(Change::None));
        assert_eq!(custody.ask(Wish::Running), Err(Refused::Held));
        assert_eq!(custody.release(), Change::None);
        assert_eq!(custody.ask(Wish::Running), Ok(Change::Start));
    }
}
