//! Input from pipes and files, with a guest that reads slowly.

use std::cell::RefCell;
use std::io::{Seek, Write};
use std::rc::Rc;

use event_manager::{EventManager, SubscriberOps};

use super::*;

/// A guest's receive buffer of a few bytes.
#[derive(Debug, Default)]
struct Guest {
    received: Vec<u8>,
    room: usize,
    left: bool,
}

impl ConsoleInput for Rc<RefCell<Guest>> {
    fn room(&self) -> usize {
        self.borrow().room
    }

    fn push(&mut self, bytes: &[u8]) {
        let mut guest = self.borrow_mut();
        guest.room = guest
            .room
            .checked_sub(bytes.len())
            .expect("no more than there is room for");
        guest.received.extend_from_slice(bytes);
    }

    fn leave(&mut self) {
        self.borrow_mut().left = true;
    }
}

struct Console {
    guest: Rc<RefCell<Guest>>,
    room: EventFd,
    manager: EventManager<Box<dyn MutEventSubscriber>>,
}

fn console(input: OwnedFd, room: usize, escapes: Option<EscapeParser>) -> Console {
    let guest = Rc::new(RefCell::new(Guest {
        room,
        ..Guest::default()
    }));
    let mut subscriber = StdinSubscriber::reading(input, Rc::clone(&guest)).unwrap();
    subscriber.escapes = escapes;
    let room = subscriber.room_event().unwrap();
    let mut manager = EventManager::<Box<dyn MutEventSubscriber>>::new().unwrap();
    manager.add_subscriber(Box::new(subscriber));
    Console {
        guest,
        room,
        manager,
    }
}

impl Console {
    /// Handles events until there are none.
    fn settle(&mut self) {
        let mut turns = 0;
        while self.manager.run_with_timeout(0).unwrap() > 0 {
            turns += 1;
            assert!(turns < 1000, "the loop spins");
        }
    }

    fn make_room(&mut self, bytes: usize) {
        self.guest.borrow_mut().room = bytes;
        self.room.write(1).unwrap();
        self.settle();
    }

    fn received(&self) -> Vec<u8> {
        self.guest.borrow().received.clone()
    }
}

#[test]
fn input_of_a_pipe_waits_for_room_and_loses_nothing() {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut console = console(reader.into(), 4, None);
    writer.write_all(b"0123456789").unwrap();
    drop(writer);
    console.settle();
    assert_eq!(console.received(), b"0123");
    console.make_room(3);
    assert_eq!(console.received(), b"0123456");
    console.make_room(16);
    assert_eq!(console.received(), b"0123456789");
    console.make_room(16);
    assert_eq!(console.received(), b"0123456789");
}

#[test]
fn input_of_a_file_is_read_to_its_end() {
    let mut file = tempfile::tempfile().unwrap();
    let text: Vec<u8> = (0..=255).cycle().take(1000).collect();
    file.write_all(&text).unwrap();
    file.rewind().unwrap();
    let mut console = console(file.into(), 300, None);
    console.settle();
    assert_eq!(console.received(), &text[..300]);
    console.make_room(1000);
    assert_eq!(console.received(), text);
}

#[test]
fn input_that_has_ended_at_once_is_quiet() {
    let null = std::fs::File::open("/dev/null").unwrap();
    let mut console = console(null.into(), 4, None);
    console.settle();
    console.make_room(4);
    assert!(console.received().is_empty());
}

#[test]
fn input_with_escapes_keeps_words_to_the_monitor_from_the_guest() {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut console = console(reader.into(), 64, Some(EscapeParser::default()));
    writer.write_all(b"a\x01\x01b\x01").unwrap();
    console.settle();
    assert_eq!(console.received(), b"a\x01b");
    writer.write_all(b"xc").unwrap();
    console.settle();
    assert_eq!(console.received(), b"a\x01b");
    assert!(console.guest.borrow().left);
}

#[test]
fn input_without_escapes_passes_them_on() {
    let (reader, mut writer) = io::pipe().unwrap();
    let mut console = console(reader.into(), 64, None);
    writer.write_all(b"\x01x\x03").unwrap();
    console.settle();
    assert_eq!(console.received(), b"\x01x\x03");
    assert!(!console.guest.borrow().left);
}
