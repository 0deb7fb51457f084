#!/usr/bin/env python3
"""Stillframe and its peers on one workload in one run: what a hit adds, and what arming costs.

  probes_bench.py [--rounds N] [--only WORDS] [--arm PROGRAM]

Prints Markdown. Exits with 1 when a tool counted other hits than the loop made, or when a figure
of Stillframe's has no measurement and no refusal to show.
"""
import argparse
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import peers
import peers_gdb
import stillframe_rows
from session import NoFigure, Skip, build

METHOD = """\
Nanoseconds that one hit adds to a call of a small function (`benchmarks/probes/work.cc`: integers, a
double, a string by reference, integers behind pointers; GCC, `-O2 -g`, not position-independent):
median, and the 10 % and 90 % quantiles. One burst of calls of the probed function against one of its
unprobed twin, in turn; the difference in thread CPU time (in wall time where the note says so) over
the number of calls. All rows take turns in each round. Threads are pinned to a core each and run at
real-time priority; bursts that were cut short, or that two threads did not begin together, are left
out. Each tool's own count of hits must be the loop's, or the run fails. With 2 threads, both hit
the same probe at the same time, on data of their own. "Stack" is measured on a painted stack."""
ARM_METHOD = """\
Arming (`benchmarks/probes/arm_bench.cc`, the installer without the rest of the agent): wall time on
the arming thread; "one running" is another thread of the process that spins on the other core. The
histogram counts the gaps that a spinning thread sees between two readings of the time stamp counter,
while a probe is armed and disarmed about a thousand times a second, and without any arming."""
PAIRS = 9
FEWEST = 9        # pairs that a figure needs
VARIANTS = {
    "base": {},
    "nop5": {"defines": ["-DSFBENCH_NOP5"]},
    "push": {"defines": ["-DSFBENCH_PUSH"]},
    "int3": {"defines": ["-DSFBENCH_INT3"]},
    "pg": {"probed_flags": ["-pg"]},
    "lttng": {"defines": ["-DSFBENCH_LTTNG"], "libraries": ["-llttng-ust", "-ldl"],
              "extra_sources": ["lttng_provider.cc"]},
}


class Measured:
    """One row of the table while it is being made."""

    def __init__(self, row):
        self.row = row
        self.session = None
        self.note = ""
        self.failed = False
        self.costs = {1: [], 2: []}      # ns a hit, of bursts that nothing disturbed
        self.disturbed = {1: [], 2: []}

    def start(self, programs, folder):
        try:
            self.session = self.row.start(programs, folder)
        except Skip as reason:
            self.note = str(reason)

    def run(self, threads):
        burst = {"pairs": PAIRS, "burst_us": 1000, "max_hits": 1_000_000, "pause_us": 0,
                 **self.row.burst}
        answer = self.session.ask("run {threads} {pairs} {burst_us} {max_hits} {pause_us}".format(
            threads=threads, **burst))
        for pairs in zip(*answer["threads"]):
            kept = self.costs if self.row.clock == "wall" or undisturbed(pairs) else self.disturbed
            kept[threads] += [cost(pair, self.row.clock) / answer["hits"] for pair in pairs]

    def finish(self):
        if self.session is None:
            return
        try:
            self.note = self.row.finish(self.session)
        except NoFigure as reason:
            self.costs = {1: [], 2: []}
            self.disturbed = {1: [], 2: []}
            self.note = str(reason)
        except (AssertionError, subprocess.TimeoutExpired, OSError, Skip) as error:
            self.failed = True
            self.note = f"FAILED: {error}"
            print(f"{self.row.name}: {error}", file=sys.stderr)
        finally:
            self.session.kill()

    def figure(self, threads):
        enough = len(self.costs[threads]) >= FEWEST
        costs = sorted(self.costs[threads] + ([] if enough else self.disturbed[threads]))
        if not costs:
            return "–"
        low, high = (costs[int(len(costs) * q)] for q in (0.1, 0.9))
        return f"{number(statistics.median(costs))} ({number(low)}–{number(high)})" + ("" if enough else " disturbed")

    def line(self):
        target = f"≤ {self.row.target}" if self.row.target else ""
        note = " ".join(self.note.replace("|", " ").split())
        return "| " + " | ".join([self.row.name, self.figure(1), self.figure(2), target,
                                  note if len(note) < 250 else note[:250] + "…"]) + " |"


def cost(pair, clock):
    plain_cpu, plain_wall, _, cpu, wall = pair
    return cpu - plain_cpu if clock == "cpu" else wall - plain_wall


def undisturbed(pairs):
    """Whether the probed bursts of the threads began together and were not cut short: on a machine
    that others use, two threads that are told to contend may run one after the other."""
    starts, cpus, walls = ([pair[i] for pair in pairs] for i in (2, 3, 4))
    return (all(wall <= 1.1 * cpu + 2_000 for wall, cpu in zip(walls, cpus))
            and max(starts) - min(starts) <= 0.2 * min(walls))


def number(value):
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def build_all(folder):
    programs, notes = {}, []
    for variant, options in VARIANTS.items():
        try:
            programs[variant] = build(variant, folder, **options)
        except Skip as reason:
            notes.append(f"{variant}: {reason}")
    return programs, notes


def measure(rows, rounds, programs, folder):
    table = [Measured(row) for row in rows]
    for index, measured in enumerate(table):
        measured.start(programs, folder / f"row{index}")
    try:
        for _ in range(rounds):
            for measured in table:
                for threads in (1, 2):
                    if measured.session is not None:
                        measured.run(threads)
    finally:
        for measured in table:
            measured.finish()
    return table


def print_tables(own, others):
    print(METHOD)
    print("\n| Stillframe, set at run time (ns) | 1 thread | 2 threads | target | of the hits |")
    print("| --- | --- | --- | --- | --- |")
    for measured in own:
        print(measured.line())
    print("\n| peers (ns) | 1 thread | 2 threads | | checked by |\n| --- | --- | --- | --- | --- |")
    for measured in others:
        print(measured.line())
    for measured in own:
        if measured.row.stack_bytes is not None:
            print(f"\nStack written below the site's stack pointer by a declined hit ("
                  f"{measured.row.name}): {measured.row.stack_bytes} bytes (target ≤ 512).")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--arm", help="the stillframe_arm_bench program")
    parser.add_argument("--only", default="", help="rows whose names contain this")
    options = parser.parse_args()
    started = time.monotonic()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-probes-"))
    own, others = ([row for row in rows if options.only in row.name]
                   for rows in (stillframe_rows.rows(), peers_gdb.rows() + peers.rows()))
    try:
        programs, notes = build_all(folder)
        for note in notes:
            print(f"not built: {note}\n", file=sys.stderr)
        table = measure(own + others, options.rounds, programs, folder)
    finally:
        peers.Tracefs.clean()
        shutil.rmtree(folder, ignore_errors=True)
    print_tables(table[:len(own)], table[len(own):])
    kept, thrown = (sum(len(pick(m)[n]) for m in table for n in (1, 2))
                    for pick in (lambda m: m.costs, lambda m: m.disturbed))
    print(f"\n{options.rounds} rounds of {PAIRS} pairs (5 of 300 calls where each hit makes a record); {thrown} of {kept + thrown} bursts were "
          "disturbed and left out.")
    if options.arm:
        print("\n" + ARM_METHOD + "\n", flush=True)
        subprocess.run([options.arm, "1"], check=True)
    print(f"\nThe whole run took {time.monotonic() - started:.0f} s.")
    return 1 if any(measured.failed for measured in table) else 0


if __name__ == "__main__":
    sys.exit(main())
