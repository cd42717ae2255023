//! The probe's ELF file has what monitors look for (System V ABI, "Object Files"; Xen's ELF notes).

use guest_images::PROBE;

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const MIB: u64 = 1 << 20;

/// A program header.
#[derive(Debug)]
struct Segment {
    kind: u32,
    offset: usize,
    virtual_address: u64,
    physical_address: u64,
    file_bytes: u64,
    memory_bytes: u64,
}

impl Segment {
    fn holds(&self, address: u64) -> bool {
        (self.physical_address..self.physical_address + self.file_bytes).contains(&address)
    }
}

fn word16(offset: usize) -> u16 {
    u16::from_le_bytes(*PROBE[offset..].first_chunk().expect("within the file"))
}

fn word32(offset: usize) -> u32 {
    u32::from_le_bytes(*PROBE[offset..].first_chunk().expect("within the file"))
}

fn word64(offset: usize) -> u64 {
    u64::from_le_bytes(*PROBE[offset..].first_chunk().expect("within the file"))
}

fn place(offset: u64) -> usize {
    usize::try_from(offset).expect("a 64-bit host")
}

fn segments() -> Vec<Segment> {
    let (table, entry_bytes) = (place(word64(32)), usize::from(word16(54)));
    (0..usize::from(word16(56)))
        .map(|number| table + number * entry_bytes)
        .map(|header| Segment {
            kind: word32(header),
            offset: place(word64(header + 8)),
            virtual_address: word64(header + 16),
            physical_address: word64(header + 24),
            file_bytes: word64(header + 32),
            memory_bytes: word64(header + 40),
        })
        .collect()
}

fn loaded() -> Vec<Segment> {
    segments()
        .into_iter()
        .filter(|segment| segment.kind == PT_LOAD)
        .collect()
}

#[test]
fn header_is_a_static_x86_64_executable() {
    assert_eq!(PROBE[..7], *b"\x7fELF\x02\x01\x01");
    assert_eq!((word16(16), word16(18)), (2, 62), "ET_EXEC and EM_X86_64");
    assert!(
        segments()
            .iter()
            .all(|segment| [PT_LOAD, PT_NOTE].contains(&segment.kind))
    );
}

#[test]
fn segments_lie_from_1_mib_up_apart_and_where_they_say() {
    let loaded = loaded();
    for segment in &loaded {
        assert_eq!(segment.physical_address, segment.virtual_address);
        assert!(segment.physical_address >= MIB && segment.file_bytes <= segment.memory_bytes);
        assert!(segment.offset + place(segment.file_bytes) <= PROBE.len());
    }
    for pair in loaded.windows(2) {
        assert!(pair[0].physical_address + pair[0].memory_bytes <= pair[1].physical_address);
    }
}

#[test]
fn entry_is_in_a_loaded_segment() {
    let entry = word64(24);
    assert!(
        loaded().iter().any(|segment| segment.holds(entry)),
        "{entry:#x}"
    );
}

#[test]
fn note_gives_a_pvh_entry_in_a_loaded_segment() {
    let notes = segments()
        .into_iter()
        .find(|segment| segment.kind == PT_NOTE)
        .unwrap();
    let note = notes.offset;
    assert_eq!(
        [word32(note), word32(note + 4), word32(note + 8)],
        [4, 8, 18]
    );
    assert_eq!(PROBE[note + 12..note + 16], *b"Xen\0");
    let entry = word64(note + 16);
    assert!(
        loaded().iter().any(|segment| segment.holds(entry)),
        "{entry:#x}"
    );
    assert_eq!(notes.file_bytes, 24);
}

#[test]
fn sections_hold_no_relocation_and_zeroes_come_last() {
    const SHT_RELA: u32 = 4;
    const SHT_NOBITS: u32 = 8;
    const SHT_REL: u32 = 9;
    let (table, entry_bytes) = (place(word64(40)), usize::from(word16(58)));
    let headers = (0..usize::from(word16(60))).map(|number| table + number * entry_bytes);
    let mut kind_of_last = 0;
    for header in headers {
        let kind = word32(header + 4);
        assert!(kind != SHT_RELA && kind != SHT_REL);
        // Sections with an address are in memory; `image_end` of the linker script is after the last.
        if word64(header + 16) != 0 {
            kind_of_last = kind;
        }
    }
    assert_eq!(
        kind_of_last, SHT_NOBITS,
        "a section the linker script does not know"
    );
}

#[test]
fn size_is_small_on_disk_and_in_memory() {
    assert!(PROBE.len() <= 96 << 10, "{} bytes", PROBE.len());
    let end = loaded()
        .iter()
        .map(|segment| segment.physical_address + segment.memory_bytes)
        .max();
    assert!(end.unwrap() <= 4 * MIB, "{end:x?}");
}
