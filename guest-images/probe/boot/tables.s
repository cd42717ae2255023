// Processor tables as static data, so that no instruction is spent on building them.
// Intel SDM vol. 3: "Protected-Mode Memory Management", "Paging", "Task Management".

.set VECTORS, 48                        // exceptions, the timer, and the spurious vector
.set PROCESSORS, 32                     // our choice: the most vCPUs skiff gives a VM
.set RING0_STACK_SHIFT, 9
.set RING0_STACK_BYTES, 1 << RING0_STACK_SHIFT
.set RING3_STACK_SHIFT, 14
.set RING3_STACK_BYTES, 1 << RING3_STACK_SHIFT
.set TASK_STATE_BYTES, 128
.set PORT_PERMISSION_BYTES, 8192 + 1

.set SELECTOR_CODE0, 0x08
.set SELECTOR_DATA0, 0x10
.set SELECTOR_CODE0_32, 0x18
.set SELECTOR_DATA3, 0x20 + 3
.set SELECTOR_CODE3, 0x28 + 3
.set SELECTOR_FIRST_TASK, 0x30

.set PRESENT_WRITABLE_USER, 0x07
.set LARGE_PAGE, 0x87
.set LARGE_PAGE_UNCACHED, 0x9f

// Four levels, 2 MiB pages: the first GiB and the local APIC. hw/paging.rs adds the rest of RAM.
.section .tables, "aw"
.p2align 12
page_map_level_4:
    .quad page_directory_pointers + PRESENT_WRITABLE_USER
    .skip 511 * 8
.global page_directory_pointers
page_directory_pointers:
    .quad page_directory_0 + PRESENT_WRITABLE_USER
    .quad 0, 0
    .quad page_directory_3 + PRESENT_WRITABLE_USER
    .skip 508 * 8
page_directory_0:
    .set address, 0
    .rept 512
    .quad address + LARGE_PAGE
    .set address, address + 0x200000
    .endr
.global page_directory_3
page_directory_3:
    .set address, 0xc0000000
    .rept 503
    .quad address + LARGE_PAGE
    .set address, address + 0x200000
    .endr
    .quad 0xfee00000 + LARGE_PAGE_UNCACHED
    .skip 8 * 8

// One task state for each processor; all share one port bitmap of zeroes: every port is allowed.
.global task_states
task_states:
    .set processor, 0
    .rept PROCESSORS
1:  .long 0
    .quad ring0_stacks + (processor + 1) * RING0_STACK_BYTES - 16
    .org 1b + 102
    .word port_permissions - 1b
    .org 1b + TASK_STATE_BYTES
    .set processor, processor + 1
    .endr

.p2align 3
gdt:
    .quad 0
    .quad 0x00af9b000000ffff            // SELECTOR_CODE0: 64-bit code, ring 0
    .quad 0x00cf93000000ffff            // SELECTOR_DATA0: data, ring 0
    .quad 0x00cf9b000000ffff            // SELECTOR_CODE0_32: 32-bit code, ring 0
    .quad 0x00cff3000000ffff            // SELECTOR_DATA3: data, ring 3
    .quad 0x00affb000000ffff            // SELECTOR_CODE3: 64-bit code, ring 3
    .set processor, 0
    .rept PROCESSORS                    // SELECTOR_FIRST_TASK: 64-bit task states, 16 bytes each
    .word port_permissions - task_states - processor * TASK_STATE_BYTES + PORT_PERMISSION_BYTES - 1
    .word task_states_low + processor * TASK_STATE_BYTES
    .byte task_states_middle, 0x89, 0, 0
    .quad 0
    .set processor, processor + 1
    .endr
gdt_end:

.p2align 3
idt:
    .set vector, 0
    .rept VECTORS
    .word trap_stubs_low + vector * 16
    .word SELECTOR_CODE0
    .byte 0, 0x8e                       // 64-bit interrupt gate, ring 0
    .word trap_stubs_high
    .quad 0
    .set vector, vector + 1
    .endr
idt_end:

.p2align 3
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt
.p2align 3
idt_pointer:
    .word idt_end - idt - 1
    .quad idt

.section .bss.boot, "aw", @nobits
.p2align 12
.global port_permissions
port_permissions:
    .skip PORT_PERMISSION_BYTES
.p2align 12
// Each stack ends with 16 bytes of its processor; their first word is `timer_fired`.
.global ring0_stacks
ring0_stacks:
    .skip PROCESSORS * RING0_STACK_BYTES
.p2align 4
    .skip 256
fault_frame_end:
.p2align 12
    .skip 4096
fault_stack_end:
ring3_stacks:
    .skip PROCESSORS * RING3_STACK_BYTES
.global processor_of_apic
processor_of_apic:
    .skip 256
