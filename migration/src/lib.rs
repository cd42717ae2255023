//! Moving a VM: frames, phases, page table, send order, source and destination.
