// Traps: one stub of 16 bytes for each vector, `hlt` on behalf of ring 3, the timer, and the way
// into the fault report. Stack at a stub: [error code] rip cs rflags rsp ss, and just above that
// frame, if the trap came from ring 3, the processor's `timer_fired` word (tables.s).

.set LOCAL_APIC_EOI, 0xfee000b0
.set VECTOR_GENERAL_PROTECTION, 13
.set VECTOR_TIMER, 32
.set VECTOR_SPURIOUS, 47
.set OPCODE_HLT, 0xf4

.section .ring0, "ax"
.code64
.p2align 4
.global trap_stubs
trap_stubs:
.set vector, 0
.rept VECTORS
    .p2align 4
    .if vector == VECTOR_GENERAL_PROTECTION
    jmp general_protection
    .elseif vector == VECTOR_TIMER
    jmp timer
    .elseif vector == VECTOR_SPURIOUS
    iretq
    .else
    .if vector != 8 && (vector < 10 || vector > 14) && vector != 17 && vector != 21
    push 0                              // the processor pushes no error code for this one
    .endif
    push vector
    jmp fault
    .endif
    .set vector, vector + 1
.endr

// Ring 3 may not halt; it executes `hlt` all the same and this does it in its place. The check of
// `timer_fired` closes the gap between arming the timer and halting, on a host that delivers
// interrupts to ring 3 although its flags forbid them.
.p2align 4
general_protection:
    push rax
    test byte ptr [rsp + 24], 3         // cs: from ring 3?
    jz 2f
    mov rax, [rsp + 16]                 // rip
    cmp byte ptr [rax], OPCODE_HLT
    jne 2f
    inc qword ptr [rsp + 16]
    cmp dword ptr [rsp + 56], 0         // timer_fired
    jne 1f
    sti
    hlt
    cli
1:  pop rax
    add rsp, 8
    iretq
2:  pop rax
    push VECTOR_GENERAL_PROTECTION
    jmp fault

.p2align 4
timer:
    push rax
    mov eax, LOCAL_APIC_EOI
    mov dword ptr [rax], 0
    test byte ptr [rsp + 16], 3         // cs: from ring 3?
    jz 1f
    mov dword ptr [rsp + 48], 1         // timer_fired
1:  pop rax
    iretq

// Anything else ends the run: the interrupted code is replaced by a report that runs in ring 3.
.p2align 4
fault:
    pop rdi                             // vector
    pop rsi                             // error code
    pop rdx                             // rip
    mov rcx, cr2
    mov rsp, offset fault_frame_end
    push SELECTOR_DATA3
    push offset fault_stack_end - 8
    push RFLAGS_IOPL3
    push SELECTOR_CODE3
    push offset fault_entry             // extern "C" fn(vector, error_code, instruction, address)
    iretq
