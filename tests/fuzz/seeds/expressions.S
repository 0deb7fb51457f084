// One function with one variable whose location is a place-holder of 256 bytes: location_fuzz puts
// its input there. Version 5 (DWARF 5 §7.5); the line table is empty.
        .text
        .globl function
        .type function, @function
function:
        .cfi_startproc
        .fill 64, 1, 0x90
        ret
.Lend:
        .cfi_endproc
        .size function, .-function

        .section .debug_abbrev, "", @progbits
        .uleb128 1                      // compile unit: name, low_pc, high_pc
        .uleb128 0x11
        .byte 1
        .uleb128 0x03, 0x08
        .uleb128 0x11, 0x01
        .uleb128 0x12, 0x06
        .byte 0, 0
        .uleb128 2                      // base type: name, encoding, byte_size
        .uleb128 0x24
        .byte 0
        .uleb128 0x03, 0x08
        .uleb128 0x3e, 0x0b
        .uleb128 0x0b, 0x0b
        .byte 0, 0
        .uleb128 3                      // subprogram: name, low_pc, high_pc, frame_base
        .uleb128 0x2e
        .byte 1
        .uleb128 0x03, 0x08
        .uleb128 0x11, 0x01
        .uleb128 0x12, 0x06
        .uleb128 0x40, 0x18
        .byte 0, 0
        .uleb128 4                      // variable: name, type, location
        .uleb128 0x34
        .byte 0
        .uleb128 0x03, 0x08
        .uleb128 0x49, 0x13
        .uleb128 0x02, 0x18
        .byte 0, 0
        .byte 0

        .section .debug_info, "", @progbits
.Lunit:
        .long .Lunit_end - .Lversion
.Lversion:
        .short 5
        .byte 1, 8
        .long .debug_abbrev
        .uleb128 1
        .string "expressions.S"
        .quad function
        .long .Lend - function
.Ltype:
        .uleb128 2
        .string "wide"
        .byte 5, 16
.Lint:
        .uleb128 2
        .string "int"
        .byte 5, 4
.Ldouble:
        .uleb128 2
        .string "double"
        .byte 4, 8
        .uleb128 3
        .string "function"
        .quad function
        .long .Lend - function
        .uleb128 1
        .byte 0x9c                      // DW_OP_call_frame_cfa
        .uleb128 4
        .string "variable"
        .long .Ltype - .Lunit
        .uleb128 256
        .ascii "STILLFRAME-LOCATION-PLACEHOLDER!"
        .fill 224, 1, 0x96              // DW_OP_nop
        .uleb128 4
        .string "other"
        .long .Lint - .Lunit
        .uleb128 2
        .byte 0x91, 0x70                // DW_OP_fbreg -16
        .byte 0, 0
.Lunit_end:
        .section .note.GNU-stack, "", @progbits
