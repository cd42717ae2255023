//! Kernels of each kind, and files that are broken in each way.

use vm_memory::{Bytes, GuestAddress};

use super::samples::{Segment, bzimage, elf, note, put};
use super::*;

fn ram() -> RamLayout {
    RamLayout::new(16 << 20).unwrap()
}

fn memory() -> GuestMemory {
    GuestMemory::from_ranges(&[(GuestAddress(0), 16 << 20)]).unwrap()
}

fn load(image: &[u8]) -> Result<LoadedKernel, BootError> {
    load_from(&memory(), ram(), &mut Cursor::new(image))
}

fn code(address: u64, content: &[u8]) -> Segment<'_> {
    Segment {
        kind: 1,
        address,
        content,
        memory_bytes: 0x1000,
    }
}

fn notes(content: &[u8]) -> Segment<'_> {
    Segment {
        kind: 4,
        address: 0,
        content,
        memory_bytes: 0,
    }
}

fn elf_defect(image: &[u8]) -> ElfDefect {
    match load(image).unwrap_err() {
        BootError::Elf(defect) => defect,
        other => panic!("{other}"),
    }
}

#[test]
fn elf_with_a_pvh_note_in_the_second_note_segment_starts_by_it() {
    let property = note(b"GNU\0", 5, &[0; 16]);
    let pvh = [
        note(b"GNU\0", 3, &[7; 5]),
        note(b"Xen\0", 18, &0x20_0010_u32.to_le_bytes()),
    ];
    let pvh = pvh.concat();
    let image = elf(
        0x20_0000,
        &[code(0x20_0000, b"code"), notes(&property), notes(&pvh)],
    );
    let guest = memory();
    let kernel = load_from(&guest, ram(), &mut Cursor::new(&image)).unwrap();
    assert!(matches!(
        kernel.entry,
        KernelEntry::Pvh { entry: 0x20_0010 }
    ));
    assert_eq!(kernel.end, 0x20_1000);
    assert_eq!(
        &guest.read_obj::<[u8; 6]>(GuestAddress(0x20_0000)).unwrap(),
        b"code\0\0"
    );
}

#[test]
fn elf_without_a_pvh_note_starts_by_its_64_bit_entry() {
    let other = note(b"Xen\0", 17, &[0; 4]);
    let kernel = load(&elf(0x20_0004, &[notes(&other), code(0x20_0000, b"code")])).unwrap();
    assert!(matches!(
        kernel.entry,
        KernelEntry::Long64 {
            entry: 0x20_0004,
            ..
        }
    ));
    assert_eq!(kernel.command_line_max_bytes, 2047);
}

#[test]
fn elf_of_another_kind_is_refused_with_what_it_is() {
    let good = elf(0x20_0000, &[code(0x20_0000, b"code")]);
    let with = |offset: usize, bytes: &[u8]| {
        let mut image = good.clone();
        put(&mut image, offset, bytes);
        elf_defect(&image)
    };
    assert_eq!(with(4, &[1]), ElfDefect::Class { class: 1, data: 1 });
    assert_eq!(with(5, &[2]), ElfDefect::Class { class: 2, data: 2 });
    assert_eq!(with(18, &[183]), ElfDefect::Machine { machine: 183 });
    assert_eq!(
        with(54, &[32]),
        ElfDefect::ProgramHeaderSize { header_bytes: 32 }
    );
    assert_eq!(with(32, &[8]), ElfDefect::ProgramHeaderOffset { offset: 8 });
    assert_eq!(
        with(56, &[0, 1]),
        ElfDefect::TooManyProgramHeaders { count: 256 }
    );
    assert_eq!(with(56, &[0]), ElfDefect::EntryOutside { entry: 0x20_0000 });
}

#[test]
fn elf_with_impossible_segments_is_refused() {
    let low = elf(0x1000, &[code(0x1000, b"code")]);
    assert_eq!(
        elf_defect(&low),
        ElfDefect::SegmentTooLow { address: 0x1000 }
    );
    let shrinking = Segment {
        memory_bytes: 3,
        ..code(0x20_0000, b"code")
    };
    let shrinking = elf_defect(&elf(0x20_0000, &[shrinking]));
    assert_eq!(shrinking, ElfDefect::SegmentSize { address: 0x20_0000 });
    let endless = elf_defect(&elf(0, &[code(u64::MAX, b"code")]));
    assert_eq!(endless, ElfDefect::SegmentSize { address: u64::MAX });
    let outside = elf_defect(&elf(0x20_1000, &[code(0x20_0000, b"code")]));
    assert_eq!(outside, ElfDefect::EntryOutside { entry: 0x20_1000 });
    let many_notes = vec![0; 65537];
    let many_notes = elf_defect(&elf(
        0x20_0000,
        &[code(0x20_0000, b"x"), notes(&many_notes)],
    ));
    assert_eq!(many_notes, ElfDefect::NotesTooBig { notes_bytes: 65537 });
}

#[test]
fn elf_that_reaches_beyond_memory_is_refused_with_the_size_it_needs() {
    let bss = Segment {
        memory_bytes: 1 << 30,
        ..code(0x20_0000, b"code")
    };
    let error = load(&elf(0x20_0000, &[bss])).unwrap_err();
    assert!(matches!(
        error,
        BootError::KernelTooBig {
            required_bytes: 0x4020_0000,
            ..
        }
    ));
    assert!(
        error.to_string().ends_with("give at least 1026 MiB"),
        "{error}"
    );
}

#[test]
fn elf_cut_anywhere_is_refused_as_cut_short() {
    let pvh = note(b"Xen\0", 18, &0x20_0000_u32.to_le_bytes());
    let image = elf(0x20_0000, &[code(0x20_0000, b"code"), notes(&pvh)]);
    load(&image).unwrap();
    for length in 4..image.len() {
        let error = load(&image[..length]).unwrap_err();
        assert!(
            matches!(error, BootError::Truncated { .. }),
            "at {length}: {error}"
        );
    }
}

#[test]
fn elf_with_any_corrupt_byte_is_loaded_or_refused() {
    let pvh = note(b"Xen\0", 18, &0x20_0000_u32.to_le_bytes());
    let image = elf(0x20_0000, &[code(0x20_0000, b"code"), notes(&pvh)]);
    let guest = memory();
    for offset in 0..image.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut corrupt = image.clone();
            corrupt[offset] = value;
            let _ = load_from(&guest, ram(), &mut Cursor::new(&corrupt));
        }
    }
}

#[test]
fn bzimage_is_loaded_at_1_mib_and_entered_512_bytes_later() {
    let mut payload = vec![0; 0x1000];
    payload[0x200] = 0xf4;
    let guest = memory();
    let kernel = load_from(&guest, ram(), &mut Cursor::new(bzimage(&payload))).unwrap();
    let KernelEntry::Long64 { entry, header } = kernel.entry else {
        panic!("not 64-bit")
    };
    assert_eq!((entry, { header.version }), (0x10_0200, 0x20f));
    assert_eq!(kernel.end, 0x50_0000);
    assert_eq!(guest.read_obj::<u8>(GuestAddress(0x10_0200)).unwrap(), 0xf4);
}

#[test]
fn bzimage_of_another_kind_is_refused_with_what_it_is() {
    let with = |offset: usize, bytes: &[u8]| {
        let mut image = bzimage(&[0; 0x1000]);
        put(&mut image, offset, bytes);
        match load(&image).unwrap_err() {
            BootError::BzImage(defect) => defect,
            other => panic!("{other}"),
        }
    };
    assert_eq!(
        with(0x206, &[0x0b]),
        BzImageDefect::OldProtocol { version: 0x20b }
    );
    assert_eq!(with(0x236, &[0]), BzImageDefect::Not64Bit);
    assert_eq!(with(0x211, &[0]), BzImageDefect::LoadsTooLow { address: 0 });
    assert_eq!(
        with(0x214, &[0; 4]),
        BzImageDefect::LoadsTooLow { address: 0 }
    );
}

#[test]
fn bzimage_cut_anywhere_is_refused_as_cut_short() {
    let image = bzimage(&[0; 0x1000]);
    for length in 0x206..image.len() {
        let error = load(&image[..length]).unwrap_err();
        assert!(
            matches!(error, BootError::Truncated { .. }),
            "at {length}: {error}"
        );
    }
}

#[test]
fn bzimage_that_unpacks_beyond_memory_is_refused() {
    let mut image = bzimage(&[0; 0x1000]);
    put(&mut image, 0x258, &0x100_0000_u64.to_le_bytes());
    assert!(matches!(
        load(&image).unwrap_err(),
        BootError::KernelTooBig {
            required_bytes: 0x130_0000,
            ..
        }
    ));
    put(&mut image, 0x258, &u64::MAX.to_le_bytes());
    assert!(matches!(
        load(&image).unwrap_err(),
        BootError::KernelTooHigh { .. }
    ));
}

#[test]
fn bzimage_with_any_corrupt_header_byte_is_loaded_or_refused() {
    let image = bzimage(&[0; 0x1000]);
    let guest = memory();
    for offset in 0x1f1..0x26c {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut corrupt = image.clone();
            corrupt[offset] = value;
            let _ = load_from(&guest, ram(), &mut Cursor::new(&corrupt));
        }
    }
}

#[test]
fn other_files_are_refused_with_what_they_are() {
    let message = |bytes: &[u8]| load(bytes).unwrap_err().to_string();
    assert!(message(b"").contains("the file is empty"));
    assert!(message(&[0x1f, 0x8b, 8, 0]).contains("gzip data (unpack it with gzip -d first)"));
    assert!(message(b"070701").contains("is it the initrd?"));
    assert!(message(b"#!/bin/sh\n").contains("a script"));
    assert!(message(&[1, 2, 0xff]).contains("the file begins with 01 02 ff;"));
    assert!(message(&[b'x'; 4096]).contains("begins with 78 78 78 78 78 78 78 78;"));
}
