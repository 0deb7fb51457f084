"""Snapshots of hard code against what the program itself prints at every execution, by the comparison
that benchmarks/fidelity makes at all levels.

Without optimization all that is printed must be there and right. With it, what is there must be right,
unless the compiler describes the variable wrongly: then GDB, which has nothing but that description,
shows the same.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import harness

FIDELITY = harness.SOURCE / "benchmarks" / "fidelity"
sys.path.insert(0, str(FIDELITY))
import oracle  # noqa: E402
import truth  # noqa: E402
import undetermined  # noqa: E402

SOURCES = ("code_shapes.cc", "language_shapes.cc", "algorithms.cc", "values.cc")
MATRIX = [(compiler, level) for compiler in ("g++", "clang++-14") for level in ("-O0", "-O2")]
# One execution in whose straight code the line comes again and again, among parts of others.
SCATTERED = {("language_shapes.cc", "g++")}

NEVER_WRITTEN = """
#include <cstdio>
__attribute__((noinline)) void Hold(const void* p) { asm volatile("" : : "r"(p) : "memory"); }
__attribute__((noinline)) int Sum(int count) {
  int never[4];
  int written[4] = {1, 2, 3, count};
  Hold(never);
  Hold(written);  // looked at here
  return written[3];
}
int main() { return Sum(4) - 4; }
"""


class TruthTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def compare(self, source, compiler, level):
        program = harness.compile_target(source, compiler, (level, "-g"))
        said = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
        lines = {telling["line"] for telling in truth.told_by(said)}
        self.assertGreater(len(lines), 2)
        done, snapshots = harness.run_with_file(
            program, truth.tracepoints(pathlib.Path(source), harness.TARGETS / "truth.h", lines),
            env={"STILLFRAME_LIMITS": "snapshotsPerSecond=0,cpuPercent=0"}, timeout=120)
        self.assertEqual(done.stdout, said)
        result = truth.Truth()
        result.run(done.stdout, snapshots)
        result.ask_gdb(oracle.Gdb(program))
        return result

    def test_every_execution(self):
        for source in SOURCES:
            for compiler, level in MATRIX:
                if shutil.which(compiler) is None:
                    continue
                with self.subTest(source=source, compiler=compiler, level=level):
                    result = self.compare(source, compiler, level)
                    print(source, compiler, level, dict(result.counts))
                    self.assertEqual(result.counts["wrong against truth"], result.counts["as GDB"],
                                     result.wrong)
                    self.assertGreater(result.counts["truths"], 20)
                    self.assertGreater(result.counts["callers"], 3)
                    if level == "-O0":
                        self.assertEqual(result.wrong, [])
                        self.assertEqual(result.absent, [])
                    if level == "-O0" or (source, compiler) not in SCATTERED:
                        self.assertEqual(result.hits_differ, [])

    def test_a_rewritten_loop_counter(self):
        """Clang adds a typed operand to one of the generic type: `round` was UNSUPPORTED_LOCATION."""
        if shutil.which("clang++-14") is None:
            self.skipTest("no Clang 14")
        result = self.compare("code_shapes.cc", "clang++-14", "-O2")
        line = harness.TARGETS.joinpath("code_shapes.cc").read_text().split("\n").index(
            "    TELL(round, result, excess);") + 1
        absent = [where for where, _ in result.absent if where.startswith(f"line {line},")]
        self.assertEqual([where for where in absent if where.endswith(" round")], [])
        self.assertEqual(result.wrong, [])
        self.assertEqual({where for where, found in result.absent
                          if found and found.get("reason") == "UNSUPPORTED_LOCATION"}, set())

    def test_what_was_never_written_is_told_apart(self):
        with tempfile.TemporaryDirectory() as folder:
            source, program = pathlib.Path(folder, "never.cc"), pathlib.Path(folder, "never")
            source.write_text(NEVER_WRITTEN)
            for level in ("-O0", "-O2"):
                subprocess.run(["g++", "-g", level, "-no-pie", "-o", program, source], check=True)
                found = subprocess.run([str(harness.CLI), "--output", "json", "lines", str(program),
                                        str(source)], capture_output=True, text=True, check=True).stdout
                line = NEVER_WRITTEN.split("\n").index("  Hold(written);  // looked at here") + 1
                address = next(entry["addresses"][0] for entry in truth.json.loads(found)["lines"]
                               if entry["line"] == line)
                shown = oracle.Gdb(program).shows_marked([address])[address]
                variables = shown[0]["variables"]
                with self.subTest(level=level, variables=variables):
                    for _, item in variables["never"]["children"]:
                        self.assertEqual(item["undetermined"], undetermined.PATTERN)
                    self.assertEqual([item for _, item in variables["written"]["children"]],
                                     [{"value": text} for text in "1234"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
