// Functions whose probed instruction begins at every offset in a cache line (so at every offset in a
// word and across words), in the shapes that lead to every method of patching. Each function takes a
// number and returns another; soak.cc compares what it gets with what it got before any probe.

    .altmacro

// label KIND OFFSET: starts a function at an address that is OFFSET modulo 64.
.macro label kind, offset
    .p2align 6
    .skip   \offset, 0xcc
    .globl  soak_\kind\()_\offset
    .type   soak_\kind\()_\offset, @function
soak_\kind\()_\offset:
.endm

// What leads to the site must be found by the caller: the address of the function and of the site.
.macro entry kind, offset, site
    .pushsection .data.rel.ro, "aw", @progbits
    .quad   soak_\kind\()_\offset
    .quad   \site
    .popsection
    .size   soak_\kind\()_\offset, . - soak_\kind\()_\offset
.endm

// Five bytes; read as a jump they lead into this module, so all of them change: one aligned store, or
// guarded where they straddle words.
.macro long_site offset
    label   long, \offset
    movl    $0x104, %eax
    leaq    (%rax,%rdi), %rax
    ret
    entry   long, \offset, soak_long_\offset
.endm

// Four bytes; the jump's last byte is the opcode of the next instruction (exact pun).
.macro short_site offset
    label   short, \offset
    leaq    3(%rdi), %rax
    addq    $0x11, %rax
    ret
    entry   short, \offset, soak_short_\offset
.endm

// One byte; the displacement is the next instruction.
.macro byte_site offset
    label   byte, \offset
    clc
    movl    $0x01023344, %eax
    adcq    %rdi, %rax
    ret
    entry   byte, \offset, soak_byte_\offset
.endm

// A call, with its return address on the stack as before.
.macro call_site offset
    .p2align 6
    .skip   \offset, 0xcc
    .skip   60, 0xcc
    .globl  soak_call_\offset
    .type   soak_call_\offset, @function
soak_call_\offset:
    subq    $8, %rsp
soak_call_site_\offset:
    call    soak_helper
    addq    $8, %rsp
    ret
    entry   call, \offset, soak_call_site_\offset
.endm

    .text
    .p2align 4
    .type   soak_helper, @function
soak_helper:
    leaq    (%rdi,%rdi,2), %rax
    ret
    .size   soak_helper, . - soak_helper

    .section .data.rel.ro, "aw", @progbits
    .globl  soak_table
    .p2align 3
soak_table:
    .text

.set number, 0
.rept 64
    long_site   %number
    short_site  %number
    byte_site   %number
    call_site   %number
    .set number, number + 1
.endr

// Armed for the whole run: its hits are counted by the callers as well.
    .p2align 4
    .globl  soak_steady
    .type   soak_steady, @function
soak_steady:
    movl    $0x55, %eax
    addq    %rdi, %rax
    ret
    .size   soak_steady, . - soak_steady

    .section .data.rel.ro, "aw", @progbits
    .globl  soak_table_end
soak_table_end:

    .section .note.GNU-stack, "", @progbits
