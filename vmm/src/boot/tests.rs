//! Whole guests made ready, and read back as the guest would.

use std::io::Write;

use super::kernel::samples::{Segment, bzimage, elf, note};
use super::*;

fn platform(memory_bytes: u64) -> Platform {
    Platform {
        ram: RamLayout::new(memory_bytes).unwrap(),
        vcpus: VcpuCount::new(2).unwrap(),
        virtio: VirtioWindow::of_device(0).into_iter().collect(),
        generation_id: *b"0123456789abcdef",
    }
}

fn memory(platform: &Platform) -> GuestMemory {
    let ranges: Vec<_> = platform
        .ram
        .regions()
        .map(|region| (region.start, usize::try_from(region.length_bytes).unwrap()))
        .collect();
    GuestMemory::from_ranges(&ranges).unwrap()
}

fn file(content: &[u8]) -> File {
    let mut file = tempfile();
    file.write_all(content).unwrap();
    file
}

/// A file without a name, gone when it is closed.
fn tempfile() -> File {
    use rustix::fs::{MemfdFlags, memfd_create};
    File::from(memfd_create("boot-test", MemfdFlags::CLOEXEC).unwrap())
}

fn read<const N: usize>(memory: &GuestMemory, address: u64) -> [u8; N] {
    let mut bytes = [0; N];
    memory
        .read_slice(&mut bytes, GuestAddress(address))
        .unwrap();
    bytes
}

#[test]
fn load_of_a_pvh_kernel_leaves_the_start_info_and_all_it_points_to() {
    let platform = platform(64 << 20);
    let memory = memory(&platform);
    let note = note(b"Xen\0", 18, &0x20_0000_u32.to_le_bytes());
    let code = Segment {
        kind: 1,
        address: 0x20_0000,
        content: b"\xf4",
        memory_bytes: 1,
    };
    let notes = Segment {
        kind: 4,
        address: 0,
        content: &note,
        memory_bytes: 0,
    };
    let source = BootSource {
        kernel: KernelImage::File(file(&elf(0, &[code, notes]))),
        initrd: Some(file(b"initrd")),
        command_line: "workload=none",
    };
    let entry = load(&memory, source, &platform).unwrap();
    assert_eq!(
        entry,
        Entry::Pvh {
            entry: 0x20_0000,
            start_info: GuestAddress(0x6000)
        }
    );
    assert_eq!(read(&memory, 0x6000), [0x78, 0xc5, 0x6e, 0x33, 1, 0, 0, 0]);
    let initrd = u64::from_le_bytes(read(&memory, 0x6040));
    assert_eq!(&read::<7>(&memory, initrd), b"initrd\0");
    assert_eq!(
        &read::<51>(&memory, 0x2_0000),
        b"workload=none virtio_mmio.device=4K@0xd0000000:5\0\0\0"
    );
    assert_eq!(&read::<8>(&memory, 0xe_0000), b"RSD PTR ");
    assert_eq!(&read::<16>(&memory, 0xf_0000), b"0123456789abcdef");
    assert_eq!(read::<8>(&memory, 0x9000), [0; 8]);
}

#[test]
fn load_of_a_bzimage_leaves_the_zero_page_and_the_page_tables() {
    let platform = platform((3 << 30) + (64 << 20));
    let memory = memory(&platform);
    let source = BootSource {
        kernel: KernelImage::File(file(&bzimage(&[0xf4; 0x1000]))),
        initrd: None,
        command_line: "",
    };
    let entry = load(&memory, source, &platform).unwrap();
    let expected = Entry::Long64 {
        entry: 0x10_0200,
        boot_params: GuestAddress(0x7000),
    };
    assert_eq!(entry, expected);
    assert_eq!(&read::<4>(&memory, 0x7202), b"HdrS");
    assert_eq!(read::<1>(&memory, 0x71e8), [6]);
    assert_eq!(read::<8>(&memory, 0x9000), 0xa003_u64.to_le_bytes());
    assert_eq!(&read::<22>(&memory, 0x2_0000), b"console=ttyS0 panic=-1");
}

#[test]
fn load_with_an_unreadable_kernel_is_refused_with_what_the_host_says() {
    let platform = platform(16 << 20);
    let source = BootSource {
        kernel: KernelImage::File(File::open("/").unwrap()),
        initrd: None,
        command_line: "",
    };
    let error = load(&memory(&platform), source, &platform).unwrap_err();
    assert!(
        matches!(
            error,
            BootError::ReadFile {
                file: BootFile::Kernel,
                ..
            }
        ),
        "{error}"
    );
}
