// The machine's part of the hit path: system calls, the time stamp counter, a copy that survives a
// fault, the vector registers. Leaf functions; prototypes and contracts in agent/hit/arch.h.

    .text

.macro FUNCTION name
    .globl  \name
    .hidden \name
    .type   \name, @function
    .p2align 4
\name:
    .cfi_startproc
.endm
.macro END name
    .cfi_endproc
    .size   \name, . - \name
.endm

// long stillframe_syscall(number, a1, a2, a3, a4, a5, a6). The kernel changes rcx and r11 only
// (psABI §A.2.1); a negative errno comes back in rax and errno itself is not touched.
FUNCTION stillframe_syscall
    movq    %rdi, %rax
    movq    %rsi, %rdi
    movq    %rdx, %rsi
    movq    %rcx, %rdx
    movq    %r8, %r10
    movq    %r9, %r8
    movq    8(%rsp), %r9
    syscall
    ret
END stillframe_syscall

FUNCTION stillframe_read_ticks
    rdtsc
    shlq    $32, %rdx
    orq     %rdx, %rax
    ret
END stillframe_read_ticks

FUNCTION stillframe_thread_pointer
    movq    %fs:0, %rax
    ret
END stillframe_thread_pointer

// rdi = out, rsi = from, rcx = size. Forward, in words; the odd bytes at the end by themselves, so
// that an overlapping copy to lower addresses is right. `rep movsb` only for long ones: it starts
// slowly (tens of nanoseconds).
.macro COPY_BYTES
    cmpq    $512, %rcx
    jae     3f
1:  subq    $8, %rcx
    jb      2f
    movq    (%rsi), %rax
    movq    %rax, (%rdi)
    addq    $8, %rsi
    addq    $8, %rdi
    jmp     1b
2:  addq    $8, %rcx
    je      4f
5:  movb    (%rsi), %al
    movb    %al, (%rdi)
    incq    %rsi
    incq    %rdi
    decq    %rcx
    jnz     5b
    jmp     4f
3:  rep movsb
4:
.endm

// uint64_t stillframe_guarded_copy(void* out, uint64_t address, uint64_t size_bytes). The handler
// of SIGSEGV and SIGBUS moves a fault between begin and end to `failed`. Nothing is on the stack.
FUNCTION stillframe_guarded_copy
    movq    %rdx, %rcx
    .globl  stillframe_guarded_begin
    .hidden stillframe_guarded_begin
stillframe_guarded_begin:
    cmpq    $8, %rcx
    jne     6f
    movq    (%rsi), %rax
    movq    %rax, (%rdi)
    movl    $1, %eax
    ret
6:  cmpq    $4, %rcx
    jne     7f
    movl    (%rsi), %eax
    movl    %eax, (%rdi)
    movl    $1, %eax
    ret
7:  COPY_BYTES
    movl    $1, %eax
    ret
    .globl  stillframe_guarded_end
    .hidden stillframe_guarded_end
stillframe_guarded_end:
    .globl  stillframe_guarded_failed
    .hidden stillframe_guarded_failed
stillframe_guarded_failed:
    xorl    %eax, %eax
    ret
END stillframe_guarded_copy

// void stillframe_copy(void* out, const void* from, uint64_t size_bytes): forward, may overlap when
// out is below from.
FUNCTION stillframe_copy
    movq    %rdx, %rcx
    COPY_BYTES
    ret
END stillframe_copy

    .section .note.GNU-stack, "", @progbits
