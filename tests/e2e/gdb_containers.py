"""Run inside GDB: the leaves of every local at the given lines, by GDB's own printers of libstdc++.

Environment: SF_SOURCE, SF_LINES (comma-separated), SF_OUT. Written as JSON: line -> variable -> list
of leaf texts in the printers' order.
"""
import json
import os

import gdb

LIMIT = 400


def leaves(value, out, depth=0):
    if len(out) >= LIMIT or depth > 12:
        return
    value_type = value.type.strip_typedefs()
    if value_type.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        return leaves(value.referenced_value(), out, depth)
    printer = gdb.default_visualizer(value)
    if printer is not None and hasattr(printer, "children"):
        for _, child in printer.children():
            if isinstance(child, gdb.Value):
                leaves(child, out, depth + 1)
            else:
                out.append(str(child))
            if len(out) >= LIMIT:
                return
        return
    if printer is not None:
        text = printer.to_string()
        out.append(text.format_string() if isinstance(text, gdb.Value) else
                   text.value().format_string() if hasattr(text, "value") else str(text))
        return
    if value_type.code == gdb.TYPE_CODE_STRUCT:
        for field in value_type.fields():
            if hasattr(field, "bitpos") and not field.artificial:
                leaves(value[field], out, depth + 1)
        return
    if value_type.code == gdb.TYPE_CODE_ARRAY:
        first, last = value_type.range()
        for i in range(first, last + 1):
            leaves(value[i], out, depth + 1)
        return
    out.append(value.format_string(symbols=False))


def main():
    gdb.execute("set pagination off")
    gdb.execute("set print elements 300")
    gdb.execute("set print repeats 0")
    result = {}
    for line in os.environ["SF_LINES"].split(","):
        gdb.execute(f"tbreak {os.environ['SF_SOURCE']}:{line}")
    gdb.execute("run >/dev/null")
    while gdb.selected_inferior().pid != 0:
        frame = gdb.selected_frame()
        line = str(frame.find_sal().line)
        found = {}
        block = frame.block()
        while block is not None and block.function is None:
            block = block.superblock
        for symbol in block:
            if not symbol.is_variable:
                continue
            out = []
            try:
                leaves(symbol.value(frame), out)
            except (gdb.error, ValueError, RuntimeError) as error:
                out = ["error: " + str(error)]
            found[symbol.name] = out
        result[line] = found
        gdb.execute("continue")
    with open(os.environ["SF_OUT"], "w") as file:
        json.dump(result, file)


main()
