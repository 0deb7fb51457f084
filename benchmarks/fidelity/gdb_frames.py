"""Runs inside GDB: stops at each pc once and writes what GDB shows of every frame as JSON.

Environment: SF_PCS (link addresses, comma separated), SF_OUT (file), SF_ARGS (of the program),
SF_RANDOMIZE ("on": addresses differ from run to run), SF_ENVIRONMENT (JSON list of
"NAME=VALUE"), SF_PATTERN (a byte: fill memory that holds nothing with it, see gdb_pattern.py),
SF_ENTRIES (JSON file {first instruction of a function: pcs for which it is filled there}),
SF_SYNTHETIC (not empty: follow synthetic pointers). SF_OUT with ".at" names the pc that was looked at
last, for when GDB itself falls. Library types are shown by GDB's own pretty printers.
"""
import json
import os
import pathlib
import signal
import sys

import gdb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from gdb_pattern import Pattern  # noqa: E402
from gdb_run import load_bias, resume  # noqa: E402

MAX_DEPTH = 3
MAX_ITEMS = 12
MAX_NODES = 400  # of one variable
MAX_FRAMES = 5
MAX_SECONDS = 3  # of one variable
SCALARS = {gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR, gdb.TYPE_CODE_BOOL, gdb.TYPE_CODE_ENUM,
           gdb.TYPE_CODE_FLT}


class TookTooLong(BaseException):
    """A printer walks a container that is garbage."""


left = 0  # nodes that the present variable may still take


def text_of(value):
    return value.format_string(max_elements=300, repeat_threshold=0, symbols=False)


def printed(value, printer, depth):
    """What a pretty printer tells: its text, and its children by position."""
    hint = printer.display_hint() if hasattr(printer, "display_hint") else None
    if hint == "string":
        text = text_of(value)
        if not text:
            raise RuntimeError("the printer fails")  # even an empty one has quotes
        return {"string": text}
    result = {"printer": hint or "", "children": []}
    if depth >= MAX_DEPTH or not hasattr(printer, "children"):
        return result
    limit = MAX_ITEMS * (2 if hint == "map" else 1)
    for name, child in printer.children():
        if len(result["children"]) == limit:
            result["more"] = True
            break
        shown = dump(child, depth + 1) if isinstance(child, gdb.Value) else {"skipped": True}
        if name == "get()" and shown.get("pointer"):  # of a smart pointer, whose object is meant
            shown["to"] = dump(child.dereference(), depth + 1)
        result["children"].append([str(name), shown])
    return result


def fields_of(value, kind, depth):
    fields = {}
    for field in kind.fields():
        if not hasattr(field, "bitpos") or not field.name or field.artificial:
            continue
        if not field.name.startswith("_vptr"):
            fields[field.name] = dump(value[field], depth if field.is_base_class else depth + 1)
    return {"fields": fields}


def dump(value, depth):
    global left  # pylint: disable=global-statement
    left -= 1
    if left < 0:
        return {"skipped": True}
    try:
        if value.is_optimized_out:
            return {"missing": "optimized out"}
        kind = value.type.strip_typedefs()
        if kind.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
            return dump(value.referenced_value(), depth)
        if kind.code in SCALARS:
            value.fetch_lazy()
            if kind.code == gdb.TYPE_CODE_FLT and kind.sizeof == 4:
                return {"value": text_of(value), "float": True}
            return {"value": text_of(value)}
        if kind.code == gdb.TYPE_CODE_PTR:
            value.fetch_lazy()
            if "<synthetic pointer>" in text_of(value):  # to what the compiler dissolved: as good as that
                if not os.environ.get("SF_SYNTHETIC"):
                    return {"skipped": True}
                target = value.dereference()
                target.fetch_lazy()
                return {"synthetic": dump(target, depth + 1)}
            return {"pointer": int(value)}
        if kind.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION):
            value.fetch_lazy()
            if not kind.fields() and text_of(value) == "<incomplete type>":
                return {"missing": "incomplete type"}
            try:
                printer = gdb.default_visualizer(value)
                if printer is not None:
                    return printed(value, printer, depth)
            except Exception:  # pylint: disable=broad-except
                return {"skipped": True, "raw": bytes_of(value)}  # the printers trip over garbage
            if depth >= MAX_DEPTH:
                return {"skipped": True}
            return fields_of(value, kind, depth)
        if kind.code == gdb.TYPE_CODE_ARRAY:
            value.fetch_lazy()
            first, last = kind.range()
            target = kind.target().strip_typedefs()
            if target.code in (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR) and target.sizeof == 1:
                return {"string": text_of(value)}
            if depth >= MAX_DEPTH:
                return {"skipped": True}
            shown = min(last, first + MAX_ITEMS - 1)
            return {"printer": "array", "size": last + 1 - first, "children": [
                [f"[{i}]", dump(value[i], depth + 1)] for i in range(first, shown + 1)]}
        return {"skipped": True}
    except (gdb.error, RuntimeError, ValueError, OverflowError, UnicodeError) as error:
        return {"missing": str(error)}


def bytes_of(value):
    if value.address is None:
        return None
    return bytes(gdb.selected_inferior().read_memory(int(value.address), value.type.sizeof)).hex()


def frame_variables(frame):
    """Variables of the frame's function, innermost block first; outer ones of a name are hidden."""
    global left  # pylint: disable=global-statement
    variables = {}
    try:
        block = frame.block()
    except RuntimeError:
        return variables
    while block is not None:
        for symbol in block:
            if not (symbol.is_variable or symbol.is_argument) or symbol.name in variables:
                continue
            if symbol.addr_class == gdb.SYMBOL_LOC_STATIC:
                continue  # the function's statics; both tools show them, and they never lack
            left = MAX_NODES
            try:
                signal.alarm(MAX_SECONDS)
                variables[symbol.name] = dump(symbol.value(frame), 0)
            except (gdb.error, RuntimeError) as error:
                variables[symbol.name] = {"missing": str(error)}
            except TookTooLong:
                variables[symbol.name] = {"skipped": True}
            finally:
                signal.alarm(0)
            if not symbol.is_argument:
                variables[symbol.name]["declared"] = symbol.line
        if block.function is not None:
            break
        block = block.superblock
    return variables


def entry_of(frame):
    """The first instruction of the function that the frame's code belongs to."""
    while frame.type() == gdb.INLINE_FRAME and frame.older() is not None:
        frame = frame.older()
    function = frame.function()
    return None if function is None else int(function.value().address)


def stack(bias):
    frames = []
    frame = gdb.newest_frame()
    while frame is not None and len(frames) < MAX_FRAMES:
        frames.append({"function": frame.name(), "line": frame.find_sal().line,
                       "variables": frame_variables(frame), "kind": frame.type()})
        try:
            entry = entry_of(frame)
            frames[-1]["entry"] = entry and f"{entry - bias:#x}"
            frame = frame.older()
        except gdb.error:
            break
    # Of a function that ended by a tail call, with what was inlined where it ended.
    ended = False
    for entry in reversed(frames):
        kind = entry.pop("kind")
        ended = kind == gdb.TAILCALL_FRAME or kind == gdb.INLINE_FRAME and ended
        entry["ended"] = ended
    return frames


class Stops:
    """The pcs at which stacks are wanted, and first instructions at which to fill for some of them."""

    def __init__(self, bias, pcs, entries):
        self.bias = bias
        self.wanted = {pc: self.stop_at(pc) for pc in pcs}
        self.entries = {entry: (self.stop_at(entry), set(needed)) for entry, needed in entries.items()}

    def stop_at(self, pc):
        return gdb.Breakpoint(f"*{pc + self.bias:#x}", internal=True)

    def reached(self, pc):
        """True if a stack is wanted; then the pc is one no longer."""
        if pc not in self.wanted:
            return False
        self.wanted.pop(pc).delete()
        for entry, (breakpoint, needed) in list(self.entries.items()):
            needed.discard(pc)
            if not needed:
                breakpoint.delete()
                del self.entries[entry]
        return True


def read_entries():
    if not os.environ.get("SF_ENTRIES"):
        return {}
    with open(os.environ["SF_ENTRIES"], encoding="utf-8") as file:
        return {int(entry, 16): [int(pc, 16) for pc in pcs]
                for entry, pcs in json.load(file).items()}


def too_long(*_):
    raise TookTooLong


def main():
    signal.signal(signal.SIGALRM, too_long)
    for command in ("set pagination off", "set confirm off", "set print frame-arguments none",
                    "set breakpoint pending off", "set print object off",
                    "set print static-members off", "set max-value-size 65536"):
        gdb.execute(command)
    if os.environ.get("SF_RANDOMIZE") == "on":
        gdb.execute("set disable-randomization off")
    for assignment in json.loads(os.environ.get("SF_ENVIRONMENT", "[]")):
        gdb.execute(f"set environment {assignment}")
    gdb.execute(f"starti {os.environ['SF_ARGS']} > /dev/null", to_string=True)
    bias = load_bias(gdb.objfiles()[0].filename)
    entries, pattern = read_entries(), None
    if os.environ.get("SF_PATTERN"):
        pattern = Pattern(int(os.environ["SF_PATTERN"], 0), [entry + bias for entry in entries])
        pattern.fill_at_main()
    stops = Stops(bias, [int(pc, 16) for pc in os.environ["SF_PCS"].split(",")], entries)
    result = {}
    while stops.wanted:
        pc = gdb.newest_frame().pc() - bias  # `main` may be one
        if pattern is not None:
            pattern.fill()
        if stops.reached(pc):
            with open(os.environ["SF_OUT"] + ".at", "w", encoding="utf-8") as file:
                file.write(f"{pc:#x}")  # GDB may end here
            result[f"{pc:#x}"] = stack(bias)
        if not resume():
            break
    with open(os.environ["SF_OUT"], "w", encoding="utf-8") as out:
        json.dump(result, out)
    if gdb.selected_inferior().pid:
        gdb.execute("kill")


main()
