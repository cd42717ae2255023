//! The network card: all that its queue has room for is on its way, each frame followed by the next as soon
//! as its buffer is back.

use super::Plan;
use super::board::BOARD;
use super::peripheral::Useless;
use crate::hw::virtio_mmio::Window;
use crate::pure::frames::{Arrival, FRAME_BYTES, buffer_bytes, look, set_number, write};
use crate::pure::options::Workload;
use crate::pure::pages::{Corrupt, Pages};
use crate::pure::virtio::Kind;
use crate::pure::virtqueue::{Buffer, Queue, Writer};

/// Frames on their way. Our choice: half of what devices have room for.
const FRAMES: u16 = 128;

static QUEUE: Queue<{ FRAMES as usize }> = Queue::new();

/// The queues of a card (virtio 1.2, section 5.1.2), of which one is used.
const RECEIVE: u32 = 0;
const TRANSMIT: u32 = 1;

/// Where frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Out,
    In,
}

/// The driver of the one card. Frame `n` of those on their way is in page `n` of the working set.
#[derive(Debug)]
pub struct Card {
    window: Window,
    direction: Direction,
    frame_bytes: u64,
    seen: u16,
    /// Frames that are through.
    frames: u64,
    /// The number of the next that is sent, or the least that may come.
    next: u64,
}

impl Card {
    /// Finds and starts the card.
    ///
    /// # Errors
    /// There is none that can be used.
    pub fn open(plan: &Plan, command_line: &[u8], pages: &mut impl Pages) -> Result<Self, Useless> {
        let (direction, number) = match plan.options.workload {
            Workload::NetSend => (Direction::Out, TRANSMIT),
            _ => (Direction::In, RECEIVE),
        };
        if plan.set.pages() < FRAMES.into() {
            return Err(Useless::NoRoom);
        }
        let window = Window::find(Kind::Card, command_line).ok_or(Useless::Absent)?;
        window.negotiate(Kind::Card).ok_or(Useless::Unknown)?;
        if !window.set_queue(number, &QUEUE) {
            return Err(Useless::Unknown);
        }
        window.start();
        let mut card = Self {
            window,
            direction,
            frame_bytes: plan.options.frame_bytes,
            seen: 0,
            frames: 0,
            next: 0,
        };
        for slot in 0..FRAMES {
            if direction == Direction::Out {
                write(pages.page(slot.into()), card.frame_bytes);
            }
            card.offer(slot, pages);
        }
        card.notify();
        Ok(card)
    }

    /// Takes the buffers that are back, and offers them again.
    pub fn turn(&mut self, pages: &mut impl Pages) {
        let before = self.seen;
        while let Some(slot) = QUEUE.take_used(&mut self.seen) {
            let slot = slot % FRAMES;
            match self.direction {
                Direction::Out => self.frames += 1,
                Direction::In => self.accept(slot, pages),
            }
            self.offer(slot, pages);
        }
        if self.seen != before {
            self.notify();
            BOARD.desks[0].set_progress(self.frames, Some(0));
        }
    }

    /// Counts a frame that came, if it is one of ours; some may be lost on their way, but none comes
    /// twice, or after a later one.
    fn accept(&mut self, slot: u16, pages: &mut impl Pages) {
        let page = u64::from(slot);
        let (word, expected, found) = match look(pages.page(page)) {
            Arrival::Foreign => return,
            Arrival::Whole(number) if number >= self.next => {
                self.frames += 1;
                self.next = number + 1;
                return;
            }
            Arrival::Whole(number) => (0, self.next, number),
            Arrival::Torn {
                word,
                expected,
                found,
            } => (word, expected, found),
        };
        let gpa = pages.gpa(page) + word as u64 * 8;
        BOARD.report_damage(Corrupt {
            gpa,
            expected,
            found,
        });
    }

    fn offer(&mut self, slot: u16, pages: &mut impl Pages) {
        let page = u64::from(slot);
        let (bytes, writer) = match self.direction {
            Direction::Out => {
                set_number(pages.page(page), self.frame_bytes, self.next);
                self.next += 1;
                (self.frame_bytes, Writer::Driver)
            }
            Direction::In => (*FRAME_BYTES.end(), Writer::Device),
        };
        let buffer = Buffer {
            gpa: pages.gpa(page),
            bytes: u32::try_from(buffer_bytes(bytes)).expect("less than a page"),
            writer,
        };
        QUEUE.offer(slot, [buffer].into_iter());
    }

    fn notify(&self) {
        if QUEUE.wants_notice() {
            let queue = match self.direction {
                Direction::Out => TRANSMIT,
                Direction::In => RECEIVE,
            };
            self.window.notify(queue);
        }
    }
}
