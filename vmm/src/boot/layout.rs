//! The guest-physical address map and the interrupt and port numbers, each with its source.
//!
//! ```text
//! 0x0000_0500  GDT (64-bit entry)         0x0000_6000  PVH start info, module list, memory map
//! 0x0000_7000  zero page (boot_params)    0x0000_8ff0  first stack pointer, growing down
//! 0x0000_9000  page tables (64-bit entry) 0x0002_0000  kernel command line
//! 0x0009_fc00  reserved, as an EBDA       0x000e_0000  ACPI: RSDP, then the tables
//! 0x000f_0000  VM generation id           0x0010_0000  kernels load here and above
//! 0xc000_0000  end of low RAM             0xd000_0000  virtio-mmio windows, 4 KiB each
//! 0xfec0_0000  I/O APIC                   0xfee0_0000  local APIC
//! 0xfffb_c000  KVM identity map, TSS      0x1_0000_0000  high RAM
//! ```

use vm_memory::GuestAddress;

/// A global system interrupt: a pin of the one I/O APIC, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gsi(pub u32);

/// The size of a page of guest memory in bytes (Intel SDM volume 3, section 4.5).
pub const PAGE_BYTES: u64 = 4096;

/// The end of low RAM. Our choice: 3 GiB, so that every device window keeps a 32-bit address.
pub const LOW_RAM_END: u64 = 3 << 30;
/// The start of high RAM: 4 GiB, above all that x86 puts below it.
pub const HIGH_RAM_START: u64 = 4 << 30;
/// The end of any RAM. Our choice: 40 address bits, which every x86-64 host with KVM has.
pub const HIGH_RAM_END: u64 = 1 << 40;

/// The GDT of the 64-bit entry. Our choice: just above the BIOS data area (0x400..0x500).
pub const GDT: GuestAddress = GuestAddress(0x500);
/// The PVH `hvm_start_info`, with its module list and memory map in the same page (our choice).
pub const PVH_START_INFO: GuestAddress = GuestAddress(0x6000);
/// Linux's `boot_params`, "the zero page" (our choice of place: free memory below 640 KiB).
pub const ZERO_PAGE: GuestAddress = GuestAddress(0x7000);
/// The first stack pointer. Our choice: the end of the page above the zero page, 16-byte aligned.
pub const BOOT_STACK: GuestAddress = GuestAddress(0x8ff0);
/// The first page table of the 64-bit entry (a PML4); the PDPT and four PDs follow (our choice).
pub const PAGE_TABLES: GuestAddress = GuestAddress(0x9000);
/// The kernel command line (our choice: 64 KiB are free from here on).
pub const COMMAND_LINE: GuestAddress = GuestAddress(0x2_0000);
/// The greatest size of the command line in bytes, whatever the kernel says it can take.
pub const COMMAND_LINE_MAX_BYTES: usize = 0x1_0000;

/// Where PCs keep the extended BIOS data area; Linux takes no RAM from here to 1 MiB
/// (arch/x86/kernel/ebda.c).
pub const EBDA_START: u64 = 0x9_fc00;
/// The start of video memory and ROMs on a PC: no RAM is reported from here to 1 MiB.
pub const VIDEO_START: u64 = 0xa_0000;
/// The ACPI tables, RSDP first: in the range in which a guest searches for "RSD PTR " on a
/// 16-byte boundary (ACPI 6.4, section 5.2.5.1).
pub const ACPI_TABLES: GuestAddress = GuestAddress(0xe_0000);
/// The end of the space for ACPI tables.
pub const ACPI_TABLES_END: GuestAddress = VM_GENERATION_ID;
/// The 16 bytes of the VM generation id, alone in a reserved page as Microsoft's paper "Virtual
/// Machine Generation ID" demands (our choice of place).
pub const VM_GENERATION_ID: GuestAddress = GuestAddress(0xf_0000);
/// 1 MiB: where RAM for kernels begins, and where a bzImage loads by default
/// (Linux Documentation/arch/x86/boot.rst, `code32_start`).
pub const KERNEL_START: u64 = 0x10_0000;

/// The first virtio-mmio window (our choice: inside the hole between low and high RAM).
pub const VIRTIO_START: GuestAddress = GuestAddress(0xd000_0000);
/// The size of one virtio-mmio window in bytes: 0x100 registers and the configuration space of
/// a device (virtio 1.2, section 4.2.2), rounded up to a page.
pub const VIRTIO_WINDOW_BYTES: u32 = 0x1000;
/// The I/O APIC, where KVM's is (Linux arch/x86/kvm/ioapic.h, `IOAPIC_DEFAULT_BASE_ADDRESS`).
pub const IO_APIC: u32 = 0xfec0_0000;
/// The pins of KVM's I/O APIC (Linux arch/x86/kvm/ioapic.h, `KVM_IOAPIC_NUM_PINS`).
pub const IO_APIC_PINS: u32 = 24;
/// The local APICs (Intel SDM volume 3, section 11.4.1: the value of IA32_APIC_BASE at reset).
pub const LOCAL_APIC: u32 = 0xfee0_0000;
/// For KVM_SET_IDENTITY_MAP_ADDR: one page, which Intel hosts use for real mode
/// (Linux Documentation/virt/kvm/api.rst; the place leaves 256 KiB for a firmware, as QEMU does).
pub const KVM_IDENTITY_MAP: GuestAddress = GuestAddress(0xfffb_c000);
/// For KVM_SET_TSS_ADDR: three pages, next to the identity map.
pub const KVM_TSS: GuestAddress = GuestAddress(0xfffb_d000);
/// The size in bytes of the identity map and the TSS together.
pub const KVM_PRIVATE_BYTES: u64 = 4 * PAGE_BYTES;

/// The first port of the serial port COM1 (IBM PC).
pub const SERIAL_PORT: u16 = 0x3f8;
/// The number of ports of a 16550 UART.
pub const SERIAL_PORTS: u8 = 8;
/// The interrupt of COM1 (IBM PC).
pub const SERIAL_GSI: Gsi = Gsi(4);
/// The interrupt that says "the VM generation id has changed": a pulse on it runs the AML that
/// notifies the guest. Our choice: the pin of the SCI, which hardware-reduced ACPI does not have.
pub const GENERATION_GSI: Gsi = Gsi(9);

/// The sleep control register (ACPI 6.4, section 4.8.3.7). Our choice of port.
pub const ACPI_SLEEP_CONTROL_PORT: u16 = 0x600;
/// The sleep status register (ACPI 6.4, section 4.8.3.7); a guest clears it before it sleeps.
pub const ACPI_SLEEP_STATUS_PORT: u16 = 0x601;
/// The reset register (ACPI 6.4, section 4.8.3.6). Our choice of port.
pub const ACPI_RESET_PORT: u16 = 0x602;
/// What a guest writes to [`ACPI_RESET_PORT`] to reset the machine.
pub const ACPI_RESET_VALUE: u8 = 1;
/// The sleep type of `\_S5`, soft off. Our choice.
pub const ACPI_S5_SLEEP_TYPE: u8 = 5;
/// What a guest writes to [`ACPI_SLEEP_CONTROL_PORT`] to power off: SLP_TYP in bits 2 to 4 and
/// SLP_EN in bit 5 (ACPI 6.4, table 4.20).
pub const ACPI_POWER_OFF_VALUE: u8 = (ACPI_S5_SLEEP_TYPE << 2) | 1 << 5;
/// The command port of the i8042; writing [`I8042_RESET_VALUE`] resets the machine (IBM PC/AT).
pub const I8042_COMMAND_PORT: u16 = 0x64;
/// The i8042 command that pulses the reset line (IBM PC/AT).
pub const I8042_RESET_VALUE: u8 = 0xfe;

/// The interrupts of the virtio-mmio windows: pins without an owner on a PC. Left out are the
/// timer 0, keyboard 1, cascade 2, COM2 3, COM1 4, clock 8, [`GENERATION_GSI`] and the FPU's 13.
const VIRTIO_GSIS: [Gsi; 16] = [
    Gsi(5),
    Gsi(6),
    Gsi(7),
    Gsi(10),
    Gsi(11),
    Gsi(12),
    Gsi(14),
    Gsi(15),
    Gsi(16),
    Gsi(17),
    Gsi(18),
    Gsi(19),
    Gsi(20),
    Gsi(21),
    Gsi(22),
    Gsi(23),
];

/// The greatest number of virtio devices: each has an interrupt of its own.
pub const VIRTIO_WINDOWS_MAX: usize = VIRTIO_GSIS.len();

/// The registers and the interrupt of one virtio-mmio device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioWindow {
    /// The first address of the registers.
    pub base: u32,
    /// The size of the window in bytes.
    pub size_bytes: u32,
    /// The interrupt, edge triggered and used by this device only.
    pub gsi: Gsi,
}

impl VirtioWindow {
    /// The window of the device number `index`, or none from [`VIRTIO_WINDOWS_MAX`] on.
    pub fn of_device(index: usize) -> Option<Self> {
        let gsi = *VIRTIO_GSIS.get(index)?;
        let offset = u32::try_from(index).ok()? * VIRTIO_WINDOW_BYTES;
        let start = u32::try_from(VIRTIO_START.0).expect("the windows have 32-bit addresses");
        Some(Self {
            base: start + offset,
            size_bytes: VIRTIO_WINDOW_BYTES,
            gsi,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtio_windows_do_not_overlap_and_lie_in_the_hole() {
        let windows: Vec<_> = (0..).map_while(VirtioWindow::of_device).collect();
        assert_eq!(windows.len(), VIRTIO_WINDOWS_MAX);
        assert!(u64::from(windows[0].base) >= LOW_RAM_END);
        for pair in windows.windows(2) {
            assert_eq!(pair[0].base + pair[0].size_bytes, pair[1].base);
        }
        let last = windows[windows.len() - 1];
        assert!(last.base + last.size_bytes <= IO_APIC);
    }

    #[test]
    fn virtio_interrupts_are_distinct_free_pins() {
        let mut gsis: Vec<_> = VIRTIO_GSIS.to_vec();
        gsis.extend([SERIAL_GSI, GENERATION_GSI]);
        gsis.sort();
        gsis.dedup();
        assert_eq!(gsis.len(), VIRTIO_WINDOWS_MAX + 2);
        assert!(gsis.iter().all(|gsi| gsi.0 < IO_APIC_PINS));
    }
}
