//! The registers with which the boot processor enters a guest.
//!
//! PVH: Xen docs/misc/pvh.pandoc. 64-bit: Linux Documentation/arch/x86/boot.rst, "64-bit Boot
//! Protocol". The values of the floating-point unit are those of FNINIT and of MXCSR at reset
//! (Intel SDM volume 1, sections 8.1.5 and 10.2.3).

use kvm_bindings::{kvm_dtable, kvm_fpu, kvm_regs, kvm_segment, kvm_sregs};

use super::{Entry, layout, long_mode};

/// Protection enabled.
const CR0_PE: u64 = 1 << 0;
/// Extension type, which always reads as 1.
const CR0_ET: u64 = 1 << 4;
/// Paging.
const CR0_PG: u64 = 1 << 31;
/// Physical address extension.
const CR4_PAE: u64 = 1 << 5;
/// Long mode enabled.
const EFER_LME: u64 = 1 << 8;
/// Long mode active.
const EFER_LMA: u64 = 1 << 10;
/// The bit of RFLAGS that is always 1; with all others 0, interrupts are off.
const RFLAGS_RESERVED: u64 = 1 << 1;

const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
const TASK_SELECTOR: u16 = 0x20;
/// Code: execute, read, accessed (Intel SDM volume 3, section 3.4.5.1).
const CODE_TYPE: u8 = 0xb;
/// Data: read, write, accessed.
const DATA_TYPE: u8 = 0x3;
/// A busy 32-bit or 64-bit TSS (Intel SDM volume 3, section 3.5).
const BUSY_TSS_TYPE: u8 = 0xb;
/// The limit of a TSS without a permission bitmap.
const TSS_LIMIT: u32 = 0x67;

/// All registers of the boot processor that differ from those of a vCPU just created.
#[derive(Clone, Copy, Debug)]
pub struct BootRegisters {
    /// For KVM_SET_REGS.
    pub general: kvm_regs,
    /// For KVM_SET_SREGS.
    pub special: kvm_sregs,
    /// For KVM_SET_FPU.
    pub fpu: kvm_fpu,
}

impl Entry {
    /// Makes the registers for this entry from `created`, what KVM_GET_SREGS says of a vCPU just
    /// created: the APIC base in it stays.
    pub fn registers(&self, created: kvm_sregs) -> BootRegisters {
        let fpu = kvm_fpu {
            fcw: 0x37f,
            mxcsr: 0x1f80,
            ..kvm_fpu::default()
        };
        match *self {
            Self::Pvh { entry, start_info } => BootRegisters {
                general: kvm_regs {
                    rip: u64::from(entry),
                    rbx: start_info.0,
                    rflags: RFLAGS_RESERVED,
                    ..kvm_regs::default()
                },
                special: kvm_sregs {
                    cr0: CR0_PE | CR0_ET,
                    cr3: 0,
                    cr4: 0,
                    efer: 0,
                    gdt: kvm_dtable::default(),
                    ..with_flat_segments(created, CodeSize::Bits32)
                },
                fpu,
            },
            Self::Long64 { entry, boot_params } => BootRegisters {
                general: kvm_regs {
                    rip: entry,
                    rsi: boot_params.0,
                    rsp: layout::BOOT_STACK.0,
                    rflags: RFLAGS_RESERVED,
                    ..kvm_regs::default()
                },
                special: kvm_sregs {
                    cr0: CR0_PE | CR0_ET | CR0_PG,
                    cr3: layout::PAGE_TABLES.0,
                    cr4: CR4_PAE,
                    efer: EFER_LME | EFER_LMA,
                    gdt: kvm_dtable {
                        base: layout::GDT.0,
                        limit: long_mode::GDT_LIMIT,
                        ..kvm_dtable::default()
                    },
                    ..with_flat_segments(created, CodeSize::Bits64)
                },
                fpu,
            },
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CodeSize {
    Bits32,
    Bits64,
}

/// Segments of 4 GiB from 0 in ring 0. The IDT is empty: an exception before the guest has its own
/// ends in a triple fault, which the monitor reports.
fn with_flat_segments(created: kvm_sregs, code_size: CodeSize) -> kvm_sregs {
    let data = kvm_segment {
        limit: u32::MAX,
        selector: DATA_SELECTOR,
        type_: DATA_TYPE,
        present: 1,
        db: 1,
        s: 1,
        g: 1,
        ..kvm_segment::default()
    };
    let code = kvm_segment {
        selector: CODE_SELECTOR,
        type_: CODE_TYPE,
        db: u8::from(code_size == CodeSize::Bits32),
        l: u8::from(code_size == CodeSize::Bits64),
        ..data
    };
    let task = kvm_segment {
        limit: TSS_LIMIT,
        selector: TASK_SELECTOR,
        type_: BUSY_TSS_TYPE,
        present: 1,
        ..kvm_segment::default()
    };
    kvm_sregs {
        cs: code,
        ds: data,
        es: data,
        fs: data,
        gs: data,
        ss: data,
        tr: task,
        idt: kvm_dtable::default(),
        ..created
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vm_memory::GuestAddress;

    fn created() -> kvm_sregs {
        kvm_sregs {
            cr0: 0x6000_0010,
            apic_base: 0xfee0_0900,
            ..kvm_sregs::default()
        }
    }

    #[test]
    fn pvh_entry_is_32_bit_without_paging() {
        let entry = Entry::Pvh {
            entry: 0x10_0080,
            start_info: GuestAddress(0x6000),
        };
        let BootRegisters {
            general,
            special,
            fpu,
        } = entry.registers(created());
        assert_eq!(
            (general.rip, general.rbx, general.rflags),
            (0x10_0080, 0x6000, 2)
        );
        assert_eq!((special.cr0, special.cr4, special.efer), (0x11, 0, 0));
        assert_eq!((special.cs.db, special.cs.l, special.cs.g), (1, 0, 1));
        assert_eq!(
            (special.cs.type_, special.ds.type_, special.tr.type_),
            (0xb, 0x3, 0xb)
        );
        assert_eq!(
            (special.tr.base, special.tr.limit, special.tr.s),
            (0, 0x67, 0)
        );
        assert_eq!(special.apic_base, 0xfee0_0900);
        assert_eq!((fpu.fcw, fpu.mxcsr), (0x37f, 0x1f80));
    }

    #[test]
    fn long_entry_is_64_bit_with_paging() {
        let entry = Entry::Long64 {
            entry: 0x10_0200,
            boot_params: GuestAddress(0x7000),
        };
        let BootRegisters {
            general, special, ..
        } = entry.registers(created());
        assert_eq!(
            (general.rip, general.rsi, general.rsp),
            (0x10_0200, 0x7000, 0x8ff0)
        );
        assert_eq!((special.cr0, special.cr3), (0x8000_0011, 0x9000));
        assert_eq!((special.cr4, special.efer), (0x20, 0x500));
        assert_eq!(
            (special.cs.db, special.cs.l, special.cs.selector),
            (0, 1, 0x10)
        );
        assert_eq!((special.ss.selector, special.ss.db), (0x18, 1));
        assert_eq!((special.gdt.base, special.gdt.limit), (0x500, 39));
    }
}
