// IEEE arithmetic for the interpreter, on the bits of doubles in general registers.
//
// Hit-path code never touches vector registers, because the trampoline does not save them. These
// leaf functions are the exception: each saves the two registers and MXCSR that it uses, runs with
// the default MXCSR (0x1f80: round to nearest, all exceptions masked, so that a host which unmasked
// them gets no SIGFPE) and puts everything back. Legacy SSE encodings leave the upper halves of the
// YMM and ZMM registers alone (Intel SDM vol. 1 §14.1.3).
//
//   uint64_t stillframe_f64_add(uint64_t left_bits, uint64_t right_bits);   and so on

.macro FLOAT_BEGIN name
    .globl  \name
    .hidden \name
    .type   \name, @function
    .p2align 4
\name:
    .cfi_startproc
    subq    $40, %rsp
    .cfi_adjust_cfa_offset 40
    movups  %xmm0, (%rsp)
    movups  %xmm1, 16(%rsp)
    stmxcsr 32(%rsp)
    movl    $0x1f80, 36(%rsp)
    ldmxcsr 36(%rsp)
.endm

.macro FLOAT_END name
    movups  (%rsp), %xmm0
    movups  16(%rsp), %xmm1
    ldmxcsr 32(%rsp)
    addq    $40, %rsp
    .cfi_adjust_cfa_offset -40
    ret
    .cfi_endproc
    .size   \name, . - \name
.endm

.macro FLOAT_BINARY name, insn
FLOAT_BEGIN \name
    movq    %rdi, %xmm0
    movq    %rsi, %xmm1
    \insn   %xmm1, %xmm0
    movq    %xmm0, %rax
FLOAT_END \name
.endm

    .text
FLOAT_BINARY stillframe_f64_add, addsd
FLOAT_BINARY stillframe_f64_sub, subsd
FLOAT_BINARY stillframe_f64_mul, mulsd
FLOAT_BINARY stillframe_f64_div, divsd

// uint64_t stillframe_f32_to_f64(uint64_t float_bits)
FLOAT_BEGIN stillframe_f32_to_f64
    movd    %edi, %xmm0
    cvtss2sd %xmm0, %xmm0
    movq    %xmm0, %rax
FLOAT_END stillframe_f32_to_f64

// uint64_t stillframe_f64_to_f32(uint64_t double_bits): zero-extended
FLOAT_BEGIN stillframe_f64_to_f32
    movq    %rdi, %xmm0
    cvtsd2ss %xmm0, %xmm0
    movd    %xmm0, %eax
FLOAT_END stillframe_f64_to_f32

// uint64_t stillframe_s64_to_f64(uint64_t integer)
FLOAT_BEGIN stillframe_s64_to_f64
    xorps   %xmm0, %xmm0
    cvtsi2sdq %rdi, %xmm0
    movq    %xmm0, %rax
FLOAT_END stillframe_s64_to_f64

// uint64_t stillframe_u64_to_f64(uint64_t integer): from 2^63 on, half of it with a sticky lowest
// bit is converted and doubled, which rounds once and correctly.
FLOAT_BEGIN stillframe_u64_to_f64
    xorps   %xmm0, %xmm0
    testq   %rdi, %rdi
    js      1f
    cvtsi2sdq %rdi, %xmm0
    jmp     2f
1:  movq    %rdi, %rax
    shrq    %rax
    andl    $1, %edi
    orq     %rdi, %rax
    cvtsi2sdq %rax, %xmm0
    addsd   %xmm0, %xmm0
2:  movq    %xmm0, %rax
FLOAT_END stillframe_u64_to_f64

    .section .note.GNU-stack, "", @progbits
