//! The probe: a guest without a kernel, for any monitor that boots PVH or 64-bit ELF files. It keeps
//! a working set busy, checks every byte of it, and tells on the serial line how it is doing.
//!
//! A few dozen instructions in ring 0 (`boot`) set the processor up; everything else runs in ring 3,
//! where it is at native speed even on a host that emulates ring 0 of its guests.
//!
//! ```text
//! boot     assembly: entries, tables, traps        pure     decisions, tested on the build host
//! hw       processor, ports, APIC, memory          run      what each processor does from ring 3 on
//! ```

#![no_std]
#![no_main]

mod boot;
mod hw;
mod pure;
mod run;
