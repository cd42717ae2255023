//! A queue on rings that virtio-queue's own mock driver lays out.

use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::mock::MockSplitQueue;
use vm_memory::Bytes;

use super::*;
use crate::Interrupt;
use crate::virtio::GuestRange;

const SIZE: u16 = 16;
const MEMORY_BYTES: u64 = 0x10_0000;

fn memory() -> GuestMemory {
    GuestMemory::from_ranges(&[(GuestAddress(0), 0x10_0000)]).unwrap()
}

fn mock(memory: &GuestMemory) -> MockSplitQueue<'_, GuestMemory> {
    MockSplitQueue::create(memory, GuestAddress(0x1000), SIZE)
}

fn offer(mock: &MockSplitQueue<'_, GuestMemory>, descriptors: &[Descriptor]) {
    let raw: Vec<_> = descriptors
        .iter()
        .map(|one| RawDescriptor::from(*one))
        .collect();
    mock.build_desc_chain(&raw).unwrap();
}

fn state_of(mock: &MockSplitQueue<'_, GuestMemory>) -> QueueState {
    QueueState {
        size: SIZE,
        ready: true,
        descriptor_table: mock.desc_table_addr().0,
        available_ring: mock.avail_addr().0,
        used_ring: mock.used_addr().0,
        next_available: 0,
        next_used: 0,
    }
}

fn queue_on(memory: &GuestMemory, state: &QueueState) -> Result<VirtQueue, DeviceError> {
    queue_with(Interrupt::new().unwrap(), memory, state)
}

fn queue_with(
    interrupt: Interrupt,
    memory: &GuestMemory,
    state: &QueueState,
) -> Result<VirtQueue, DeviceError> {
    let signals = DeviceSignals::new(interrupt, Vec::new());
    VirtQueue::new(state, SIZE, EventIndex::Absent, memory, &signals)
}

#[test]
fn chain_of_both_kinds_is_parsed_in_order_and_given_back() {
    let memory = memory();
    let mock = mock(&memory);
    offer(
        &mock,
        &[
            Descriptor::new(0x8000, 0x10, 0, 0),
            Descriptor::new(0x9000, 0x20, 0, 0),
            Descriptor::new(0xa000, 0x30, 2, 0),
        ],
    );
    let mut queue = queue_on(&memory, &state_of(&mock)).unwrap();
    let chain = queue.take().unwrap().unwrap();
    assert_eq!(chain.readable_bytes(), 0x30);
    assert_eq!(chain.readable().len(), 2);
    let writable = GuestRange {
        address: GuestAddress(0xa000),
        len_bytes: 0x30,
    };
    assert_eq!(chain.writable(), [writable]);
    assert!(queue.take().unwrap().is_none());
    queue.give_back(chain, 0x30).unwrap();
    assert_eq!(mock.used().idx().load(), 1);
    assert_eq!(mock.used().ring().ref_at(0).unwrap().load().len(), 0x30);
}

#[test]
fn driver_that_wants_no_interrupts_gets_none_until_it_does() {
    let memory = memory();
    let mock = mock(&memory);
    let interrupt = Interrupt::new().unwrap();
    let line = interrupt.event().try_clone().unwrap();
    let mut queue = queue_with(interrupt, &memory, &state_of(&mock)).unwrap();
    for (flags, is_interrupted) in [(1_u16, false), (0, true)] {
        memory.write_obj(flags, mock.avail_addr()).unwrap();
        offer(&mock, &[Descriptor::new(0x8000, 8, 0, 0)]);
        let chain = queue.take().unwrap().unwrap();
        queue.give_back(chain, 0).unwrap();
        assert_eq!(line.read().is_ok(), is_interrupted, "flags {flags}");
    }
}

#[test]
fn driver_is_asked_for_no_kicks_while_its_device_looks_by_itself() {
    let memory = memory();
    let mock = mock(&memory);
    let mut queue = queue_on(&memory, &state_of(&mock)).unwrap();
    let flags = || memory.read_obj::<u16>(mock.used_addr()).unwrap();
    assert!(queue.take_unasked().unwrap().is_none());
    assert_eq!(flags(), 0);
    offer(&mock, &[Descriptor::new(0x8000, 8, 0, 0)]);
    assert!(queue.has_chain().unwrap());
    assert!(queue.take_unasked().unwrap().is_some());
    assert!(!queue.has_chain().unwrap());
    assert_eq!(flags(), 1);
    // What came before the driver was asked would not be kicked for.
    offer(&mock, &[Descriptor::new(0x8000, 8, 0, 0)]);
    assert!(queue.ask_for_kicks().unwrap());
    assert_eq!(flags(), 0);
    assert!(queue.take_unasked().unwrap().is_some());
    assert!(!queue.ask_for_kicks().unwrap());
}

#[test]
fn chain_untaken_is_taken_again() {
    let memory = memory();
    let mock = mock(&memory);
    offer(&mock, &[Descriptor::new(0x8000, 8, 0, 0)]);
    let mut queue = queue_on(&memory, &state_of(&mock)).unwrap();
    let chain = queue.take().unwrap().unwrap();
    queue.untake(chain);
    let mut state = state_of(&mock);
    queue.save_positions(&mut state);
    assert_eq!((state.next_available, state.next_used), (0, 0));
    let mut queue = queue_on(&memory, &state).unwrap();
    assert_eq!(queue.take().unwrap().unwrap().readable_bytes(), 8);
}

#[test]
fn rings_that_end_with_memory_are_accepted_and_one_step_more_is_not() {
    let memory = memory();
    let fits = QueueState {
        descriptor_table: MEMORY_BYTES - 16 * 16,
        available_ring: MEMORY_BYTES - (6 + 2 * 16),
        used_ring: MEMORY_BYTES - (6 + 8 * 16) - 2,
        size: SIZE,
        ready: true,
        ..QueueState::default()
    };
    queue_on(&memory, &fits).unwrap();
    for state in [
        QueueState {
            descriptor_table: fits.descriptor_table + 16,
            ..fits
        },
        QueueState {
            available_ring: fits.available_ring + 2,
            ..fits
        },
        QueueState {
            used_ring: fits.used_ring + 4,
            ..fits
        },
    ] {
        assert!(matches!(
            queue_on(&memory, &state),
            Err(DeviceError::RingOutsideMemory { .. })
        ));
    }
}

#[test]
fn read_of_a_chain_copies_what_fits_across_buffers() {
    let memory = memory();
    memory.write_slice(b"abc", GuestAddress(0x8000)).unwrap();
    memory.write_slice(b"defg", GuestAddress(0x9000)).unwrap();
    let mock = mock(&memory);
    offer(
        &mock,
        &[
            Descriptor::new(0x8000, 3, 0, 0),
            Descriptor::new(0x9000, 4, 0, 0),
        ],
    );
    let chain = queue_on(&memory, &state_of(&mock))
        .unwrap()
        .take()
        .unwrap()
        .unwrap();
    let mut buffer = [0; 10];
    assert_eq!(chain.read(&memory, &mut buffer).unwrap(), 7);
    assert_eq!(&buffer[..7], b"abcdefg");
    assert_eq!(chain.read(&memory, &mut buffer[..5]).unwrap(), 5);
}
