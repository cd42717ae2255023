//! Calling a migration off, as long as the guest has not been handed over.

use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::stop::Stop;

/// Handle by which any thread calls one migration off. Clones act on the same migration.
#[derive(Clone, Debug)]
pub struct CancelToken {
    state: Arc<Mutex<State>>,
    stop: Stop,
}

/// What became of a request to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancellation {
    /// The migration ends within 100 ms, and the guest stays at the source.
    Accepted,
    /// The guest has been handed over: the migration can only go on.
    TooLate,
}

/// ```text
/// Open --cancel--> Cancelled
///   \---close----> HandedOver
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Cancelled,
    HandedOver,
}

impl CancelToken {
    /// A token for one migration.
    ///
    /// # Errors
    /// If the process is out of file descriptors.
    pub fn new() -> Result<Self> {
        Ok(Self {
            state: Arc::new(Mutex::new(State::Open)),
            stop: Stop::new()?,
        })
    }

    /// Calls the migration off if the guest can still stay.
    pub fn cancel(&self) -> Cancellation {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::HandedOver {
            return Cancellation::TooLate;
        }
        *state = State::Cancelled;
        self.stop.raise();
        Cancellation::Accepted
    }

    /// Whether the migration was called off.
    pub fn is_cancelled(&self) -> bool {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) == State::Cancelled
    }

    /// Makes every later request too late.
    ///
    /// # Errors
    /// If a request came first.
    pub(crate) fn close(&self) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if *state == State::Cancelled {
            return Err(Error::Cancelled);
        }
        *state = State::HandedOver;
        Ok(())
    }

    /// The flag that ends the waits of the migration's threads.
    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancel_after_close_is_too_late() {
        let token = CancelToken::new().unwrap();
        token.close().unwrap();
        assert_eq!(token.cancel(), Cancellation::TooLate);
        assert!(!token.is_cancelled());
    }

    #[test]
    fn close_after_cancel_fails() {
        let token = CancelToken::new().unwrap();
        assert_eq!(token.clone().cancel(), Cancellation::Accepted);
        assert!(matches!(token.close(), Err(Error::Cancelled)));
    }
}
