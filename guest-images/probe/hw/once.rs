//! Values that are written once and then shared, or handed out once.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A value that the boot processor sets before it starts the others.
#[derive(Debug)]
pub struct Once<T> {
    state: AtomicU32,
    value: UnsafeCell<MaybeUninit<T>>,
}

const EMPTY: u32 = 0;
const BEING_SET: u32 = 1;
const SET: u32 = 2;

// SAFETY: the value is written by one processor, before `SET`, and only read after it.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(EMPTY),
            value: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Sets the value, unless it is set already.
    pub fn set(&self, value: T) {
        let ours = (Ordering::Acquire, Ordering::Relaxed);
        if self
            .state
            .compare_exchange(EMPTY, BEING_SET, ours.0, ours.1)
            .is_ok()
        {
            // SAFETY: the exchange above succeeds once, and nobody reads before `SET`.
            unsafe { (*self.value.get()).write(value) };
            self.state.store(SET, Ordering::Release);
        }
    }

    /// The value, if it is set.
    pub fn get(&self) -> Option<&T> {
        // SAFETY: `SET` is stored after the value was written, which never changes again.
        (self.state.load(Ordering::Acquire) == SET)
            .then(|| unsafe { (*self.value.get()).assume_init_ref() })
    }
}

/// An array whose elements are handed out, each of them once.
#[derive(Debug)]
pub struct Shelf<T, const N: usize> {
    taken: [AtomicBool; N],
    items: UnsafeCell<[T; N]>,
}

// SAFETY: an element is reached only by the one who took it.
unsafe impl<T: Send, const N: usize> Sync for Shelf<T, N> {}

impl<T, const N: usize> Shelf<T, N> {
    /// Nothing is taken yet.
    pub const fn new(items: [T; N]) -> Self {
        Self {
            taken: [const { AtomicBool::new(false) }; N],
            items: UnsafeCell::new(items),
        }
    }

    /// Hands out `count` elements from number `first` on; fewer, or none, if not all are to be had.
    #[expect(clippy::mut_from_ref, reason = "an element is handed out once")]
    pub fn take(&self, first: usize, count: usize) -> &mut [T] {
        let wanted = self.taken.iter().skip(first).take(count);
        let free = wanted
            .take_while(|taken| !taken.swap(true, Ordering::AcqRel))
            .count();
        let items = self.items.get().cast::<T>();
        // SAFETY: `first + free` is at most N, and nobody else gets these elements.
        unsafe { core::slice::from_raw_parts_mut(items.wrapping_add(first.min(N)), free) }
    }
}
