"""Every line of a program against GDB at exactly the same pc and hit.

A value that differs from GDB's is a failure; a value that GDB has and we lack is counted.
"""
import collections
import json
import os
import re
import subprocess
import tempfile
import unittest

import harness

SOURCES = ("values.cc", "algorithms.cc")
# The ring has 32 slots and the agent thread looks at it every 10 ms, in which these programs run from
# start to end: more lines at once than slots would lose snapshots, and which ones depends on load.
LINES_AT_ONCE = 30
MATRIX = [("g++", "-O0"), ("g++", "-O2"), ("clang++-14", "-O0"), ("clang++-14", "-O2")]


def normal(text):
    """GDB's text of a scalar and ours, brought to one form."""
    text = text.strip()
    if re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", text) and ("." in text or "e" in text):
        return repr(float(text))
    text = re.sub(r"^\((.*)\)$", r"\1", text)
    return text


class Comparison:
    def __init__(self):
        self.counts = collections.Counter()
        self.wrong = []
        self.lost = []

    def value(self, where, ours, gdb):
        if gdb is None or "skipped" in gdb:
            return
        if ours["status"] == "REDACTED":
            return
        if "fields" in gdb:
            children = {c["name"]: c for c in ours.get("children", [])}
            for name, field in gdb["fields"].items():
                if name in children:
                    self.value(f"{where}.{name}", children[name], field)
            return
        have = ours["status"] in ("EXACT", "RECOVERED", "TRUNCATED") and "value" in ours
        if "missing" in gdb:
            self.counts["gained" if have else "both missing"] += 1
            return
        if not have:
            if not ours.get("children"):
                self.counts["lost"] += 1
                self.lost.append((where, ours, gdb))
            return
        if "pointer" in gdb:
            # Address space layout differs between the two runs: only null is comparable.
            match = re.match(r"0x[0-9a-f]+", ours["value"])
            same = bool(match) and (int(match.group(0), 16) == 0) == (gdb["pointer"] == 0)
        else:
            same = normal(ours["value"]) == normal(gdb["value"]) or \
                same_float(ours["value"], gdb["value"])
        self.counts["equal" if same else "wrong"] += 1
        if not same:
            self.wrong.append((where, ours.get("value"), gdb))


def same_float(a, b):
    try:
        return float(a) == float(b)
    except ValueError:
        return False


class GdbOracleTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def gdb(self, program, pcs, randomize=False):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.json")
            env = dict(os.environ, SF_PCS=",".join(pcs), SF_OUT=out,
                       SF_RANDOMIZE="on" if randomize else "")
            done = subprocess.run(
                ["gdb", "-nx", "-batch", "-x", str(harness.SOURCE / "tests/e2e/gdb_dump.py"),
                 str(program)], env=env, capture_output=True, text=True, timeout=180)
            self.assertTrue(os.path.exists(out), done.stderr[-2000:])
            with open(out) as file:
                return json.load(file)

    def first_hits(self, program, source, lines):
        """The snapshot of each line's first hit; every line that was hit has one."""
        wanted = [{"id": str(line), "location": {"file": source, "line": line},
                   "capture": {"depth": 4}} for line in lines]
        # No limit of the process may take one away.
        done, snapshots = harness.run_with_file(
            program, wanted, env={"STILLFRAME_LOG": "info", "STILLFRAME_LIMITS":
                                  "snapshotsPerSecond=0,cpuPercent=0"}, timeout=120)
        hits = {id_ for id_, count in re.findall(r"tracepoint (\d+) at exit: hits=(\d+)",
                                                 done.stderr) if int(count) > 0}
        lost = hits - {s["tracepointId"] for s in snapshots}
        self.assertEqual(lost, set(), done.stderr[-2000:])
        return snapshots

    def compare_all(self, source, by_pc, oracle):
        comparison = Comparison()
        for pc, snapshot in by_pc.items():
            if pc not in oracle:
                comparison.counts["pc not reached in GDB"] += 1
                continue
            for index, (ours, theirs) in enumerate(zip(snapshot["frames"], oracle[pc])):
                if ours["line"] != theirs["line"] or index > 0 and ours["function"] == "":
                    comparison.counts["frame differs"] += 1
                    break
                variables = {v["name"]: v for v in ours["variables"]}
                for name, value in theirs["variables"].items():
                    if value.get("declared") == ours["line"]:
                        continue  # not initialized yet: both read what happens to lie there
                    where = f"{source}:{ours['line']} {pc} #{index} {name}"
                    if name in variables:
                        comparison.value(where, variables[name], value)
        return comparison

    def compare(self, source, compiler, level):
        program = harness.compile_target(
            source, compiler, (level, "-g", "-no-pie"))
        count = len((harness.TARGETS / source).read_text().splitlines())
        snapshots = []
        for first in range(1, count + 1, LINES_AT_ONCE):
            lines = range(first, min(first + LINES_AT_ONCE, count + 1))
            snapshots += self.first_hits(program, source, lines)
        self.assertGreater(len(snapshots), 30)
        by_pc = {s["frames"][0]["pc"]: s for s in snapshots}
        oracle = self.gdb(program, list(by_pc))
        comparison = self.compare_all(source, by_pc, oracle)
        if comparison.wrong:
            # An optimizer may begin a variable's location before its first store. What lies there
            # then often holds an address, and differs between GDB's own runs as well.
            other = self.compare_all(source, by_pc, self.gdb(program, list(by_pc), True))
            told = {where: gdb for where, _, gdb in other.wrong}
            comparison.wrong = [w for w in comparison.wrong if told.get(w[0], w[2]) == w[2]]
        return comparison

    def test_every_line(self):
        for source in SOURCES:
            for compiler, level in MATRIX:
                with self.subTest(source=source, compiler=compiler, level=level):
                    result = self.compare(source, compiler, level)
                    print(source, compiler, level, dict(result.counts))
                    self.assertEqual(result.wrong, [])
                    self.assertGreater(result.counts["equal"], 130)
                    known = result.counts["equal"] + result.counts["lost"]
                    self.assertLess(result.counts["lost"] / known, 0.15, result.lost[:20])


if __name__ == "__main__":
    unittest.main(verbosity=2)
