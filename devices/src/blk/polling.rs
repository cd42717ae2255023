//! How long the thread of a disk looks for the next request before it sleeps: to be woken costs a fast
//! guest more than its request does. It learns that from how long it slept; QEMU's event loop does the same
//! (`poll-max-ns`, 32 us).

use std::time::{Duration, Instant};

/// The longest look, and the longest sleep after which one would have been worth it.
const MOST: Duration = Duration::from_micros(32);

/// The first look.
const LEAST: Duration = Duration::from_micros(4);

/// What was learned so far. At first it sleeps at once.
#[derive(Debug, Default)]
pub(super) struct Polling {
    window: Duration,
}

impl Polling {
    /// A request came after so long without one.
    pub(super) fn waited(&mut self, time: Duration) {
        if time > MOST {
            self.window = Duration::ZERO;
        } else if time > self.window {
            self.window = (self.window * 2).clamp(LEAST, MOST);
        }
    }

    /// Looks until there is something, or for as long as it is worth it.
    pub(super) fn look<E>(&self, mut is_there: impl FnMut() -> Result<bool, E>) -> Result<bool, E> {
        let began = Instant::now();
        while began.elapsed() < self.window {
            if is_there()? {
                return Ok(true);
            }
            std::hint::spin_loop();
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn window_grows_while_requests_come_soon_and_closes_when_they_do_not() {
        let mut polling = Polling::default();
        assert_eq!(polling.window, Duration::ZERO);
        let soon = Duration::from_micros(20);
        let windows = [(); 5].map(|()| {
            polling.waited(soon);
            polling.window.as_micros()
        });
        // Once a look is long enough, it stays as it is.
        assert_eq!(windows, [4, 8, 16, 32, 32]);
        polling.waited(MOST + Duration::from_nanos(1));
        assert_eq!(polling.window, Duration::ZERO);
    }

    #[test]
    fn look_ends_with_what_it_looks_for_or_its_window() {
        let mut polling = Polling::default();
        assert_eq!(polling.look(|| Ok::<_, Infallible>(true)), Ok(false));
        polling.waited(LEAST);
        let mut looks = 0;
        let found = polling.look(|| {
            looks += 1;
            Ok::<_, Infallible>(looks == 2)
        });
        assert_eq!((found, looks), (Ok(true), 2));
        assert_eq!(polling.look(|| Ok::<_, Infallible>(false)), Ok(false));
    }
}
