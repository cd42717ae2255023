// The few dozen ring-0 instructions of a start: from either boot protocol, or from a start-up IPI,
// to long mode and on to ring 3. Every instruction here may be emulated by the host, so there are few.
//
//   pvh_entry    32-bit, paging off, ebx = hvm_start_info     (Xen PVH, the note below)
//   linux_entry  64-bit, identity mapped, rsi = boot_params   (Linux 64-bit boot protocol, the ELF entry)
//   ap_entry     16-bit, copied to TRAMPOLINE below 1 MiB     (Intel SDM vol. 3, "MP Initialization")
//
// Until ring 3: edi = boot protocol (BOOT_*, see boot/mod.rs), rsi = its parameter block.

.set BOOT_PVH, 0
.set BOOT_LINUX, 1
.set BOOT_PROCESSOR, 2

.set CR4_PAE_OSFXSR_OSXMMEXCPT, 0x620
.set CR0_PG_NE_ET_MP_PE, 0x80000033
.set CR0_ET_PE, 0x11
.set MSR_EFER, 0xc0000080
.set EFER_LME, 0x100
.set RFLAGS_IOPL3, 0x3002
.set LOCAL_APIC_ID, 0xfee00020

.section .note.pvh, "a", @note
.p2align 2
    .long 4, 8, 18                      // name size, descriptor size, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .quad pvh_entry

.section .ring0, "ax"
.code32
.global pvh_entry
pvh_entry:
    cli
    xor edi, edi                        // BOOT_PVH
    mov esi, ebx
    lgdt [gdt_pointer]
enter_long_mode:
    mov eax, CR4_PAE_OSFXSR_OSXMMEXCPT
    mov cr4, eax
    mov eax, offset page_map_level_4
    mov cr3, eax
    mov ecx, MSR_EFER
    mov eax, EFER_LME
    xor edx, edx
    wrmsr
    mov eax, CR0_PG_NE_ET_MP_PE
    mov cr0, eax
    .byte 0xea                          // jmp far SELECTOR_CODE0:enter_ring3
    .long enter_ring3
    .word SELECTOR_CODE0

ap_protected_entry:
    mov ax, SELECTOR_DATA0
    mov ds, ax
    mov edi, BOOT_PROCESSOR
    jmp enter_long_mode

.code64
.global linux_entry
linux_entry:
    cli
    mov edi, BOOT_LINUX
    mov eax, CR4_PAE_OSFXSR_OSXMMEXCPT
    mov cr4, rax
    mov eax, offset page_map_level_4
    mov cr3, rax
    mov eax, CR0_PG_NE_ET_MP_PE
    mov cr0, rax
    lgdt [gdt_pointer]

enter_ring3:
    lidt [idt_pointer]
    xor edx, edx                        // the boot processor is number 0
    cmp edi, BOOT_PROCESSOR
    jne 1f
    mov eax, LOCAL_APIC_ID
    mov eax, [rax]
    shr eax, 24
    movzx edx, byte ptr [rax + processor_of_apic]
1:  mov eax, edx
    shl eax, 4
    add eax, SELECTOR_FIRST_TASK
    ltr ax

    mov eax, edx
    shl eax, RING0_STACK_SHIFT
    lea rsp, [rax + ring0_stacks + RING0_STACK_BYTES - 16]
    lea eax, [rdx + 1]
    shl eax, RING3_STACK_SHIFT
    lea rax, [rax + ring3_stacks - 8]   // as after a call: 8 short of a multiple of 16
    push SELECTOR_DATA3
    push rax
    push RFLAGS_IOPL3
    push SELECTOR_CODE3
    push offset ring3_entry             // extern "C" fn(protocol: rdi, parameters: rsi, processor: rdx)
    iretq

.code16
.global ap_entry
.global ap_entry_end
ap_entry:
    cli
    mov ax, cs
    mov ds, ax
    lgdt [AP_GDT_POINTER]
    mov eax, CR0_ET_PE
    mov cr0, eax
    .byte 0x66, 0xea                    // jmp far SELECTOR_CODE0_32:ap_protected_entry
    .long ap_protected_entry
    .word SELECTOR_CODE0_32
ap_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
ap_entry_end:
.set AP_GDT_POINTER, ap_gdt_pointer - ap_entry
.code64
