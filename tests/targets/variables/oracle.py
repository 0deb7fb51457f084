"""Run inside GDB: stops once at each given address and writes down all that a plan could ask for:
registers, memory, and GDB's own view of every frame's variables, leaf by leaf.

Parameters come as GDB convenience variables: $oracle_pcs (a file with one link address a line),
$oracle_out (a file). Lines of the output, tab-separated:
  STOP link_pc load_bias
  X xmm0 ... xmm15            hexadecimal
  T fs_base
  M address bytes
  R level pc valid cfa r0 ... r15    one per machine frame, DWARF order
  F level function line       one per source-level frame of that machine frame, innermost first
  V name type line            a variable of the last F, and where it is declared
  L path bit_position bit_size bytes|-   a scalar in it; "-" = GDB has no value
"""
import gdb
import struct
import traceback

DWARF_ORDER = ["rax", "rdx", "rcx", "rbx", "rsi", "rdi", "rbp", "rsp",
               "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"]
SAVED = {3, 6, 7, 12, 13, 14, 15}
MAX_FRAMES = 3
MASK = 2**64 - 1
out = open(gdb.convenience_variable("oracle_out").string(), "w")


def mappings():
    pid = gdb.selected_inferior().pid
    rows = []
    with open("/proc/%d/maps" % pid) as maps:
        for row in maps:
            parts = row.split()
            low, high = (int(x, 16) for x in parts[0].split("-"))
            rows.append((low, high, parts[1], parts[5] if len(parts) > 5 else ""))
    return rows


def write_memory(low, high):
    try:
        data = gdb.selected_inferior().read_memory(low, high - low)
        out.write("M\t%x\t%s\n" % (low, bytes(data).hex()))
    except gdb.MemoryError:
        pass


def write_state(frame, program):
    halves = [frame.read_register("xmm%d" % i)["v2_int64"] for i in range(16)]
    out.write("X\t" + "\t".join("%016x%016x" % (int(v[1]) & MASK, int(v[0]) & MASK)
                                for v in halves) + "\n")
    rsp = int(frame.read_register("rsp")) & MASK
    thread = int(frame.read_register("fs_base")) & MASK
    out.write("T\t%x\n" % thread)
    write_memory(thread - 256, thread + 64)
    try:
        dtv = int.from_bytes(bytes(gdb.selected_inferior().read_memory(thread + 8, 8)), "little")
        write_memory(dtv - 16, dtv + 64)
    except gdb.MemoryError:
        pass  # too early in the program
    for low, high, mode, name in mappings():
        if name == "[stack]":
            write_memory(max(low, rsp - 256), min(high, rsp + 8192))
        elif name == program and "w" in mode:
            write_memory(low, high)


def machine_frames(frame):
    """Groups of source-level frames that share one machine frame, innermost first."""
    groups = [[]]
    while frame is not None and frame.is_valid():
        groups[-1].append(frame)
        if frame.type() != gdb.INLINE_FRAME:
            groups.append([])
        frame = frame.older()
    return [g for g in groups if g]


def write_registers(level, group, older):
    frame = group[-1]
    values = []
    valid = 0
    for i, name in enumerate(DWARF_ORDER):
        value = 0
        if level == 0 or i in SAVED:
            try:
                value = int(frame.read_register(name)) & MASK
                valid |= 1 << i
            except gdb.error:
                pass
        values.append(value)
    cfa = int(older[-1].read_register("rsp")) & MASK if older else 0
    out.write("R\t%d\t%x\t%x\t%x\t%s\n" % (level, frame.pc(), valid, cfa,
                                           "\t".join("%x" % v for v in values)))


def scalar_bytes(value, kind):
    size = kind.sizeof
    if kind.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        return struct.pack("<Q", int(value.referenced_value().address) & MASK)
    if kind.code == gdb.TYPE_CODE_FLT:
        if size == 4:
            return struct.pack("<f", float(value))
        if size == 8:
            return struct.pack("<d", float(value))
        return None
    if size == 16:  # GDB 13 has no Python integer of it, but prints it
        text = value.format_string(format="x")
        if text.startswith("<"):
            raise gdb.error("value " + text.strip("<>"))
        return int(text, 16).to_bytes(size, "little")
    return (int(value) & ((1 << (8 * size)) - 1)).to_bytes(size, "little")


SCALARS = (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_ENUM,
           gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_FLT, gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF)


POINTERS = (gdb.TYPE_CODE_PTR, gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF)


def write_leaf(path, value, position, bits, kind, depth=1):
    if depth == 0 and kind.code in POINTERS and not value.is_optimized_out and \
            value.format_string().find("synthetic pointer") >= 0:
        # It has no value of its own; what it implies is laid out in its place.
        target = value.dereference() if kind.code == gdb.TYPE_CODE_PTR else value.referenced_value()
        write_value(path, target, kind.target(), position, 1)
        return
    try:
        data = scalar_bytes(value, kind)
        if data is None:
            return
        text = data.hex()
    except gdb.error:  # optimized out, not saved, a bug of GDB's: no answer to compare with
        text = "-"
    out.write("L\t%s\t%d\t%d\t%s\n" % (path, position, bits, text))


def write_value(path, value, kind, position, depth):
    kind = kind.strip_typedefs()
    if kind.code in SCALARS:
        write_leaf(path, value, position, 0, kind, depth)
    elif kind.code == gdb.TYPE_CODE_ARRAY and depth < 6:
        low, high = kind.range()
        size = kind.target().sizeof
        for i in range(low, high + 1):
            write_value("%s[%d]" % (path, i), value[i], kind.target(), position + 8 * size * i,
                        depth + 1)
    elif kind.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) and depth < 6:
        for field in kind.fields():
            if not hasattr(field, "bitpos") or field.artificial:
                continue
            if field.name is not None and field.name.startswith("_vptr"):
                continue
            name = "<base>" if field.is_base_class else (field.name or "<anonymous>")
            at = position + field.bitpos
            if field.bitsize != 0:
                write_leaf(path + "." + name, value[field], at, field.bitsize,
                           field.type.strip_typedefs())
            else:
                write_value(path + "." + name, value[field], field.type, at, depth + 1)


def write_variables(frame):
    seen = set()
    block = frame.block()
    while block is not None:
        for symbol in block:
            if not (symbol.is_variable or symbol.is_argument) or symbol.name in seen:
                continue
            seen.add(symbol.name)
            try:
                value = symbol.value(frame)
            except (gdb.error, KeyboardInterrupt):
                continue
            out.write("V\t%s\t%s\t%d\n" % (symbol.name, symbol.type, symbol.line))
            write_value("", value, symbol.type, 0, 0)
        if block.function is not None:
            break
        block = block.superblock


def write_stop(bias, program):
    frame = gdb.newest_frame()
    out.write("STOP\t%x\t%x\n" % (frame.pc() - bias, bias))
    write_state(frame, program)
    groups = machine_frames(frame)
    for level, group in enumerate(groups[:MAX_FRAMES]):
        older = groups[level + 1] if level + 1 < len(groups) else None
        if older is None:
            break
        write_registers(level, group, older)
        for source in group:
            out.write("F\t%d\t%s\t%d\n" % (level, source.name(), source.find_sal().line))
            write_variables(source)


def run():
    # GDB 13 trips over some of GCC's -O1 locations; that frame is then simply not compared.
    for answer in ("quit no", "corefile no"):
        gdb.execute("maintenance set internal-error " + answer)
    for setting in ("pagination off", "confirm off", "print frame-arguments none",
                    "disable-randomization on", "max-value-size unlimited"):
        gdb.execute("set " + setting)
    gdb.execute("starti", to_string=True)
    program = gdb.current_progspace().filename
    base = min(low for low, _, _, name in mappings() if name == program)
    with open(gdb.convenience_variable("oracle_pcs").string()) as listing:
        pcs = [int(row, 16) for row in listing]
    bias = base if min(pcs) < base else 0
    for pc in pcs:
        gdb.Breakpoint("*0x%x" % (pc + bias), temporary=True)
    gdb.execute("continue", to_string=True)
    while gdb.selected_inferior().pid != 0 and gdb.selected_inferior().threads():
        write_stop(bias, program)
        gdb.execute("continue", to_string=True)
    out.close()


try:
    run()
except Exception:
    traceback.print_exc()
    gdb.execute("kill")
    gdb.execute("quit 1")
