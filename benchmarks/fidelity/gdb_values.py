"""Runs inside GDB: what it shows of single variables, each at a hit of a pc.

Environment: SF_QUERIES (JSON file, list of {"pc": link address, "hit": from 1, "outside": a prefix of
function names, "name": dotted path}), SF_OUT (file, the texts in the same order, null where GDB has no
value). The frame is the innermost whose function's name does not begin with `outside`.
"""
import json
import os
import pathlib
import sys

import gdb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from gdb_run import load_bias, resume  # noqa: E402


def read(frame, name):
    """Also where GDB stops before an inlined call whose first instruction it is: in its blocks."""
    try:
        return frame.read_var(name)
    except ValueError:
        block = gdb.block_for_pc(frame.pc())
        while block is not None:
            for symbol in block:
                if symbol.name == name:
                    return symbol.value(frame)
            block = block.superblock
        raise


def value_of(outside, path):
    frame = gdb.newest_frame()
    while outside and frame is not None and (frame.name() or "").startswith(outside):
        frame = frame.older()
    first, *fields = path.split(".")
    try:
        value = read(frame, first)
        for field in fields:
            value = value[field]
        if value.is_optimized_out:
            return None
        return value.format_string(symbols=False)
    except (gdb.error, ValueError, AttributeError):
        return None


def main():
    with open(os.environ["SF_QUERIES"], encoding="utf-8") as file:
        queries = json.load(file)
    for command in ("set pagination off", "set confirm off", "set print object off"):
        gdb.execute(command)
    gdb.execute("starti > /dev/null", to_string=True)
    bias = load_bias(gdb.objfiles()[0].filename)
    wanted = {}
    for index, query in enumerate(queries):
        wanted.setdefault((int(query["pc"], 16), query["hit"]), []).append(index)
    hits = {}
    for pc, _ in wanted:
        if pc not in hits:
            gdb.Breakpoint(f"*{pc + bias:#x}", internal=True)
            hits[pc] = 0
    answers = [None] * len(queries)
    while resume():
        pc = gdb.newest_frame().pc() - bias
        hits[pc] = hits.get(pc, 0) + 1
        for index in wanted.get((pc, hits[pc]), ()):
            answers[index] = value_of(queries[index]["outside"], queries[index]["name"])
    with open(os.environ["SF_OUT"], "w", encoding="utf-8") as out:
        json.dump(answers, out)


main()
