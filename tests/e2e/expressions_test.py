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

    def test_facts_about_the_hit(self):
        program = harness.compile_target(SOURCE, "g++", ("-O0", "-g", "-w"))
        _, snapshots = harness.run_with_file(program, [
            {"location": self.location(), "expressions": [
                "$thread", "$hits", "$trace", "$trace == \"\"", "$duration"]}])
        shown = {e["text"]: e for e in snapshots[0]["expressions"]}
        self.assertEqual(shown["$thread"]["value"], str(snapshots[0]["thread"]["id"]))
        self.assertEqual(shown["$hits"]["value"], "1")
        self.assertEqual(shown["$trace"]["value"], '""')
        self.assertEqual(shown['$trace == ""']["value"], "true")
        self.assertEqual(shown["$duration"]["status"], "UNAVAILABLE")

    def test_hits_and_traces_in_conditions(self):
        program = harness.compile_target("spans.cc", "g++", ("-O0", "-g"),
                                         (f"-I{harness.SOURCE / 'include'}",))
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        place = {"file": "spans.cc", "line": harness.line_of("spans.cc", "mark-begin")}
        limits = {"maxHits": 10, "perSecond": 1000}
        wanted = {
            "second": "$hits == 2", "traced": f"$trace == \"{trace}\"",
            "begins": "$trace.starts_with(\"4bf92f3577\") && !$trace.empty()",
            "never": f"$trace == \"{trace[:-1]}7\" || $trace.starts_with(\"5\")"}
        _, snapshots = harness.run_with_file(program, [
            {"id": name, "location": place, "condition": condition, "limits": limits,
             "expressions": ["$hits", "$trace"]} for name, condition in wanted.items()])
        by_name = {name: [s for s in snapshots if s["tracepointId"] == name] for name in wanted}
        self.assertEqual({name: len(found) for name, found in by_name.items()},
                         {"second": 1, "traced": 3, "begins": 3, "never": 0})
        values = lambda s: [e["value"] for e in s["expressions"]]
        self.assertEqual(values(by_name["second"][0]), ["2", f'"{trace}"'])
        self.assertEqual(sorted(values(s)[0] for s in by_name["traced"]), ["1", "2", "3"])

    def test_filters(self):
        expected = {
            "filter(s.numbers, x -> x > 3)":
                ("4 of size=8", {"[2]": "4", "[4]": "5", "[5]": "9", "[7]": "6"}),
            "filter(s.items, x -> x.name == \"bolt\" || x.price > 60)": ("1 of size=3", {"[1]": None}),
            "filter(s.ages, x -> x.second > 40)":
                ("2 of size=3", {'["edsger"]': "72", '["grace"]': "85"}),
            "filter(s.list, x -> x.starts_with(\"g\"))": ("1 of size=3", {"[2]": '"gamma"'}),
            "filter(s.fixed, x -> x == 7)": ("0 of size=3", {}),
            "filter(s.queue, x -> x == 25)": ("1 of size=300", {"[5]": "25"}),
            "filter(s.numbers, x -> x > 3).size()": ("4", {}),
            "filter(s.numbers, x -> x > 30).empty()": ("true", {}),
        }
        for compiler, level in (("g++", "-O0"), ("g++", "-O2")):
            program = harness.compile_target(SOURCE, compiler, (level, "-g", "-w"))
            _, snapshots = harness.run_with_file(program, [
                {"location": self.location(), "expressions": list(expected)}])
            for shown in snapshots[0]["expressions"]:
                value, children = expected[shown["text"]]
                self.assertEqual(shown["value"], value, shown)
                self.assertEqual({c["name"]: c.get("value") if children[c["name"]] else None
                                  for c in shown.get("children", [])}, children, shown)

    def test_secrets_stay_secret(self):
        program = harness.compile_target(SOURCE, "g++", ("-O0", "-g", "-w"))
        for text in ("s.password", "s.password.starts_with(\"h\")", "s.password.contains(\"2\")",
                     "s.password < s.word", "s.password[0]", "any(s.password, c -> c == 'h')",
                     "s.ages[s.password]", "s.ages.contains(s.password)", "s.password.size()",
                     "filter(s.numbers, x -> s.password == \"a\")", "s.ages[\"password\"]"):
            done = subprocess.run([str(harness.CLI), "check", str(program),
                                   f"{SOURCE}:{self.location()['line']}", text],
                                  capture_output=True, text=True)
            self.assertEqual(done.returncode, 1, text)
            self.assertIn("REDACTED", done.stdout, text)


if __name__ == "__main__":
    unittest.main()
