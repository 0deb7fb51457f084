"""Every line of a program against GDB at exactly the same pc and hit, by the comparison that
benchmarks/fidelity makes over real programs.

A value that differs from GDB's is a failure; of what GDB has, next to nothing may be missing.
"""
import re
import shutil
import sys
import unittest

import harness

FIDELITY = harness.SOURCE / "benchmarks" / "fidelity"
sys.path.insert(0, str(FIDELITY))
import compare  # noqa: E402
import oracle  # noqa: E402

SOURCES = ("values.cc", "algorithms.cc", "callers.cc", "arrays.cc", "coroutines.cc")
# The ring has 32 slots and the agent thread looks at it every 10 ms, in which these programs run from
# start to end: more lines at once than slots would lose snapshots, and which ones depends on load.
LINES_AT_ONCE = 30
MATRIX = [(compiler, level) for compiler in ("g++", "clang++-14")
          for level in ("-O0", "-O2")]
# In these GDB 13 fails with optimization: it takes callers' array bounds from the innermost frame, and
# GCC's coroutines end it with an internal error.
ONLY_UNOPTIMIZED = ("arrays.cc", "coroutines.cc")
MAX_LOST = 0.01  # of the variables


class GdbOracleTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

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

    @staticmethod
    def compare_all(source, by_pc, shown):
        comparison = compare.Comparison()
        for pc, snapshot in by_pc.items():
            if pc in shown:
                comparison.counts["addresses"] += 1
                comparison.snapshot(f"{source} {pc}", snapshot["frames"], shown[pc])
        return comparison

    def compare(self, source, compiler, level):
        program = harness.compile_target(source, compiler, (level, "-g", "-no-pie", "-Wno-vla"))
        count = len((harness.TARGETS / source).read_text().splitlines())
        snapshots = []
        for first in range(1, count + 1, LINES_AT_ONCE):
            lines = range(first, min(first + LINES_AT_ONCE, count + 1))
            snapshots += self.first_hits(program, source, lines)
        by_pc = {s["frames"][0]["pc"]: s for s in snapshots}
        # An optimizer may begin a variable's location before its first store: what lies there then
        # differs between GDB's own runs as well.
        gdb = oracle.Gdb(program)
        shown = gdb.shows_marked(list(by_pc))
        result = self.compare_all(source, by_pc, shown)
        if result.wrong or result.lost:
            gdb.mark_by_other_places(shown)
            result = self.compare_all(source, by_pc, shown)
        return result

    def test_every_line(self):
        for source in SOURCES:
            for compiler, level in MATRIX:
                if shutil.which(compiler) is None or level != "-O0" and source in ONLY_UNOPTIMIZED:
                    continue
                with self.subTest(source=source, compiler=compiler, level=level):
                    result = self.compare(source, compiler, level)
                    pairs = result.counts["pairs 0"] + result.counts["pairs up"]
                    print(source, compiler, level, dict(result.counts))
                    self.assertEqual(result.wrong, [])
                    self.assertEqual(result.counts["unexplained"], 0)
                    self.assertGreater(result.counts["addresses"], 10)
                    self.assertGreater(pairs, 30)
                    self.assertLessEqual(len(result.lost), MAX_LOST * pairs, result.lost)
                    agreeing = 1 - result.counts["frames differ"] / result.counts["frames"]
                    # Code that is inlined into a line is no frame of its own in that line's snapshot.
                    self.assertGreater(agreeing, 0.95, result.frames_differ)


if __name__ == "__main__":
    unittest.main(verbosity=2)
