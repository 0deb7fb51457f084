// void stillframe_save_xmm(void* out): the 16 XMM registers, 256 bytes, as they are. Reads vector
// registers and changes none; so it may run while they still hold the application's values.

    .text
    .globl  stillframe_save_xmm
    .hidden stillframe_save_xmm
    .type   stillframe_save_xmm, @function
    .p2align 4
stillframe_save_xmm:
    .cfi_startproc
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups  %xmm\n, 16*\n(%rdi)
    .endr
    ret
    .cfi_endproc
    .size   stillframe_save_xmm, . - stillframe_save_xmm

// void stillframe_save_arguments(void* out): the low halves of xmm0 to xmm5, 48 bytes.
    .globl  stillframe_save_arguments
    .hidden stillframe_save_arguments
    .type   stillframe_save_arguments, @function
    .p2align 4
stillframe_save_arguments:
    .cfi_startproc
    .irp n, 0, 1, 2, 3, 4, 5
    movq    %xmm\n, 8*\n(%rdi)
    .endr
    ret
    .cfi_endproc
    .size   stillframe_save_arguments, . - stillframe_save_arguments

// void stillframe_save_x87(void* area): FXSAVE64, which changes nothing. st(i) stands at 32 + 16 i,
// relative to the top of the stack (Intel SDM volume 1, table 10-2).
    .globl  stillframe_save_x87
    .hidden stillframe_save_x87
    .type   stillframe_save_x87, @function
    .p2align 4
stillframe_save_x87:
    .cfi_startproc
    fxsave64 (%rdi)
    ret
    .cfi_endproc
    .size   stillframe_save_x87, . - stillframe_save_x87

    .section .note.GNU-stack, "", @progbits
