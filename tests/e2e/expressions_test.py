"""Expressions, against what the program's own compiler makes of the same text.

tests/targets/e2e/expressions.cc prints each expression with its value, or with the error that
evaluating it must be; every one is then asked for as a watch, and the true ones as conditions.
"""
import pathlib
import shutil
import subprocess
import unittest

import harness

LIBCXX = next((p for p in (harness.SOURCE / "build/libcxx-19/usr/lib/llvm-19",
                           pathlib.Path("/usr/lib/llvm-19"))
               if (p / "include/c++/v1/vector").exists()), None)
SOURCE = "expressions.cc"
BATCH = 50


def libcxx_flags():
    if not shutil.which("clang++-19") or LIBCXX is None:
        return None
    return ("-nostdinc++", "-isystem", str(LIBCXX / "include/c++/v1"), "-nostdlib++",
            str(LIBCXX / "lib/libc++.a"), str(LIBCXX / "lib/libc++abi.a"))


def batches(items, size):
    return [items[i:i + size] for i in range(0, len(items), size)]


class ExpressionsTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def location(self):
        return {"file": SOURCE, "line": harness.line_of(SOURCE, "mark-here")}

    def truth(self, program):
        said = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
        pairs = [line.split("\t") for line in said.splitlines()]
        self.assertGreater(len(pairs), 150)
        return pairs

    def watches(self, program, pairs):
        wanted = [{"id": f"w{i}", "location": self.location(),
                   "expressions": [text for text, _ in batch],
                   "limits": {"maxHits": 1}, "capture": {"depth": 1, "localFrames": 1}}
                  for i, batch in enumerate(batches(pairs, BATCH))]
        done, snapshots = harness.run_with_file(program, wanted, env={"STILLFRAME_LOG": "info"})
        shown = {}
        for snapshot in snapshots:
            for expression in snapshot["expressions"]:
                shown[expression["text"]] = expression
        self.assertEqual(len(snapshots), len(wanted), done.stderr[-3000:])
        return shown

    def compare(self, program, skip=()):
        pairs = [p for p in self.truth(program) if p[0] not in skip]
        shown = self.watches(program, pairs)
        wrong = []
        for text, expected in pairs:
            got = shown.get(text, {})
            status = got.get("status")
            if expected.startswith("!"):
                right = status in ("UNAVAILABLE", "UNREADABLE") and (
                    got.get("reason", status) == expected[1:] or status == expected[1:])
            else:
                right = got.get("value") == expected and status == "EXACT"
            if not right:
                wrong.append(f"{text}: {got.get('value', got)} instead of {expected}")
        self.assertEqual(wrong, [], "\n".join([""] + wrong))
        self.conditions(program, [text for text, value in pairs if value == "true"])
        self.conditions(program, [f"!({text})" for text, value in pairs if value == "false"])

    def conditions(self, program, texts):
        for run in batches(texts, 7 * 4):
            groups = batches(run, 4)
            wanted = [{"id": f"c{i}", "location": self.location(),
                       "condition": " && ".join(f"({text})" for text in group),
                       "capture": {"depth": 1, "localFrames": 0, "frames": 1}}
                      for i, group in enumerate(groups)]
            done, snapshots = harness.run_with_file(program, wanted,
                                                    env={"STILLFRAME_LOG": "info"})
            held = {snapshot["tracepointId"] for snapshot in snapshots}
            missing = [w["condition"] for w in wanted if w["id"] not in held]
            self.assertEqual(missing, [], done.stderr[-3000:])

    def test_gcc_unoptimized(self):
        self.compare(harness.compile_target(SOURCE, "g++", ("-O0", "-g", "-w")))

    def test_gcc_optimized(self):
        self.compare(harness.compile_target(SOURCE, "g++", ("-O2", "-g", "-w")))

    @unittest.skipUnless(shutil.which("clang++-14"), "no clang++-14")
    def test_clang_unoptimized(self):
        self.compare(harness.compile_target(SOURCE, "clang++-14",
                                            ("-O0", "-g", "-w", "-fstandalone-debug")))

    @unittest.skipUnless(libcxx_flags(), "no libc++")
    def test_libcxx(self):
        self.compare(harness.compile_target(SOURCE, "clang++-19",
                                            ("-O0", "-g", "-w", "-fstandalone-debug"),
                                            libcxx_flags()))

    def test_secrets_stay_secret(self):
        program = harness.compile_target(SOURCE, "g++", ("-O0", "-g", "-w"))
        for text in ("s.password", "s.password.starts_with(\"h\")", "s.password.contains(\"2\")",
                     "s.password < s.word", "s.password[0]", "any(s.password, c -> c == 'h')",
                     "s.ages[s.password]", "s.ages.contains(s.password)", "s.password.size()"):
            done = subprocess.run([str(harness.CLI), "check", str(program),
                                   f"{SOURCE}:{self.location()['line']}", text],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 1, text)
            self.assertIn("REDACTED", done.stdout, text)


if __name__ == "__main__":
    unittest.main()
