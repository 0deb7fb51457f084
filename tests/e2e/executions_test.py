"""One execution of a line is one hit, however many addresses its code begins at."""
import re
import shutil
import unittest

import harness
import hosts
from hosts import NO_LIMITS, HostTest

BUILDS = [("g++", ["-O0"]), ("g++", ["-O1"]), ("g++", ["-O2"]), ("g++", ["-O2", "-funroll-loops"]),
          ("g++", ["-O3"]), ("g++", ["-Os"]), ("clang++", ["-O0"]), ("clang++", ["-O2"]),
          ("clang++", ["-O3"]), ("clang++", ["-Os"]), ("g++", ["-O2", "-flto"]),
          ("g++", ["-O3", "-flto", "-fcf-protection=full"])]
# The compiler made one copy of what several lines have in common, and its line table names one.
MERGED = {("g++ -O1", "case 0"), ("g++ -Os", "default"), ("clang++ -O2", "sign"),
          ("clang++ -O3", "sign"), ("clang++ -Os", "sign")}


class ExecutionsTest(HostTest):
    def counted(self, compiler, flags):
        program = harness.compile_target("executions.cc", compiler=compiler, flags=("-g", *flags))
        truth = dict(re.findall(r"^(.+): (\d+)$", hosts.run([program]).stdout, re.M))
        wanted = [{"id": mark.replace(" ", "-"), "kind": "COUNTER", "limits": {"maxHits": 0},
                   "location": {"file": "executions.cc",
                                "line": harness.line_of("executions.cc", mark)}}
                  for mark in truth]
        outcome = hosts.run_with_agent([program], wanted, last_words=True)
        self.assertEqual(outcome.returncode, 0, outcome.stderr[-2000:])
        return {mark: (int(count), outcome.counters(mark.replace(" ", "-"))["hits"],
                       len(outcome.sites(mark.replace(" ", "-"))))
                for mark, count in truth.items()}

    def test_hits_are_executions(self):
        wrong = []
        for compiler, flags in BUILDS:
            if shutil.which(compiler) is None:
                continue
            for mark, (truth, hits, sites) in self.counted(compiler, flags).items():
                build = f"{compiler} {' '.join(flags)}"
                if hits != truth and (build, mark) not in MERGED:
                    wrong.append(f"{build}: {mark}: {hits} hits of {truth} executions at {sites} "
                                 "sites")
        self.assertEqual(wrong, [])

    def test_a_destructor_is_one_function(self):
        # What `delete` calls runs the destructor and gives the memory back; both have its name.
        for compiler in ("g++", "clang++"):
            for level in ("-O0", "-O2"):
                program = harness.compile_target("executions.cc", compiler, ("-g", level))
                wanted = [{"id": place, "kind": "COUNTER", "limits": {"maxHits": 0},
                           "location": {"function": "Shape::~Shape", "at": place}}
                          for place in ("entry", "return")]
                del wanted[0]["location"]["at"]
                outcome = hosts.run_with_agent([program], wanted, last_words=True)
                for place in ("entry", "return"):
                    self.assertEqual(outcome.counters(place)["hits"], 240, (compiler, level, place))

    def test_the_first_line_of_a_stored_lambda_is_the_lambdas(self):
        for level in ("-O0", "-O1", "-O2", "-Os"):
            program = harness.compile_target("executions.cc", flags=("-g", level))
            wanted = hosts.tracepoint("executions.cc", "stored lambda",
                                      limits={"maxHits": 3, "perTrace": 0})
            _, snapshots = harness.run_with_file(program, [wanted])
            self.assertEqual(len(snapshots), 3, level)
            for index, snapshot in enumerate(snapshots):
                frame = snapshot["frames"][0]
                self.assertRegex(frame["function"], r"\{lambda\(long\)(#1)?\}::operator\(\)", level)
                self.assertEqual(harness.variable(frame, "value")["value"], str(index), level)

    def test_a_line_of_inlined_calls_alone(self):
        # -Os: nothing on the line is left of its own, only what it calls.
        program = harness.compile_target("executions.cc", compiler="clang++", flags=("-g", "-Os"))
        wanted = hosts.tracepoint("executions.cc", "words", limits={"maxHits": 3, "perTrace": 0})
        _, snapshots = harness.run_with_file(program, [wanted])
        self.assertEqual(len(snapshots), 3)
        for index, snapshot in enumerate(snapshots):
            frame = snapshot["frames"][0]
            self.assertEqual(frame["function"], "Words(long)")
            self.assertEqual(frame["line"], wanted["location"]["line"])
            self.assertEqual(harness.variable(frame, "words")["value"], f"size={index}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
