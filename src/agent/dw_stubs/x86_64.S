// name: jmp *stillframe_dw_table[i]
// The arguments stay where they are, so one jump serves every prototype, variadic ones too.
        .text
        .set    index, 0
#define STILLFRAME_DW(name)                     \
        .globl  name;                           \
        .hidden name;                           \
        .type   name, @function;                \
        .balign 16;                             \
name:   endbr64;                                \
        jmp     *(stillframe_dw_table + 8 * index)(%rip); \
        .size   name, . - name;                 \
        .set    index, index + 1;
#include "agent/dw_stubs/dw_functions.inc"
        .section .note.GNU-stack, "", @progbits
