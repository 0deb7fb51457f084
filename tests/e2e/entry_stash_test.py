"""Arguments that no caller tells: stashed by a probe at the function's entry, or absent with a reason.

The program prints what they were, or keeps a copy beside them."""
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import harness

COMPILERS = ("g++", "clang++-14", "clang++-19")
SECONDS = float(os.environ.get("STILLFRAME_TOGGLE_SECONDS", "8"))
MANY = {"maxHits": 1000, "perSecond": 10000, "perTrace": 0}
# Many snapshots on a machine that may be slow: cost is not what this is about.
UNLIMITED = {"STILLFRAME_LIMITS": "snapshotsPerSecond=100000,cpuPercent=0"}


def build(compiler):
    """The program, whose callers' file has no debug information."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-callers-"))
    callers = folder / "callers.o"
    subprocess.run([compiler, "-std=c++20", "-O2", "-g0", "-c", "-o", str(callers),
                    str(harness.TARGETS / "entry_stash_callers.cc")], check=True)
    program = harness.compile_target("entry_stash.cc", compiler, ("-O2", "-g"), (str(callers),))
    return program


def same(value, truth):
    """Whether a value as it is shown is the one that the program printed."""
    text = value["value"].split(" ")[0]
    if text.startswith("0x") or truth.startswith("0x"):
        return text == truth
    return float(text) == float(truth)


class EntryStashTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.programs = {compiler: build(compiler) for compiler in COMPILERS}

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def run_mark(self, compiler, mark, args=("x", "5"), **fields):
        done, snapshots = harness.run_with_file(
            self.programs[compiler],
            [{"location": {"file": "entry_stash.cc", "line": harness.line_of("entry_stash.cc", mark)},
              "limits": MANY, **fields}], args=args, env=UNLIMITED)
        truths = {}
        for line in done.stdout.splitlines():
            words = line.split()
            truths[words[1]] = dict(word.split("=") for word in words[2:])
        return done, snapshots, truths

    def check(self, frame, truths):
        """No value differs from the truth; returns how each argument came about."""
        serial = harness.variable(frame, "serial")
        outcomes = {}
        for value in frame["variables"]:
            truth = serial and truths.get(serial["value"], {}).get(value["name"])
            if not truth:
                continue
            if value["status"] in ("EXACT", "RECOVERED"):
                self.assertTrue(same(value, truth), (serial["value"], value, truth))
            else:
                self.assertTrue(value.get("reason"), value)
            outcomes[value["name"]] = value.get("reason") or value["status"]
        return outcomes

    def test_arguments_of_calls_that_tell_nothing(self):
        """How many of each call's arguments the stash alone gives, at least; and how many hits."""
        for mark, stashed, hits in (("mark-called", 3, 15), ("mark-less", 1, None),
                                    ("mark-compare", 0, None), ("mark-recurse", 1, 30),
                                    ("mark-work", 1, 5), ("mark-signal", 3, 5),
                                    ("mark-throws", 0, None), ("mark-catches", 1, 5),
                                    ("mark-step", 2, None)):
            for compiler in COMPILERS:
                with self.subTest(mark=mark, compiler=compiler):
                    done, snapshots, truths = self.run_mark(compiler, mark)
                    self.assertGreater(len(snapshots), 0, done.stderr)
                    if hits:
                        self.assertEqual(len(snapshots), hits, done.stderr)
                    for snapshot in snapshots:
                        outcomes = self.check(snapshot["frames"][0], truths)
                        self.assertTrue(outcomes, snapshot["frames"][0])
                        got = [how for how in outcomes.values() if how == "stashed at entry"]
                        self.assertGreaterEqual(len(got), stashed, outcomes)
                        for frame in snapshot["frames"][1:]:
                            self.check(frame, truths)

    def test_arguments_of_a_caller(self):
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler):
                done, snapshots, truths = self.run_mark(compiler, "mark-inner")
                self.assertEqual(len(snapshots), 5, done.stderr)
                for snapshot in snapshots:
                    self.check(snapshot["frames"][0], truths)
                    self.assertIn("Outer", snapshot["frames"][1]["function"])
                    outcomes = self.check(snapshot["frames"][1], truths)
                    self.assertEqual(outcomes, dict.fromkeys(("first", "second", "third"),
                                                             "stashed at entry"))

    def test_a_loop_that_begins_at_the_entry(self):
        """Each of its rounds passes the function's first instruction."""
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler):
                done, snapshots, _ = self.run_mark(compiler, "mark-spin")
                self.assertEqual(len(snapshots), 5, done.stderr)
                for snapshot in snapshots:
                    for name, truth in (("third", "33"), ("fourth", "44")):
                        value = harness.variable(snapshot["frames"][0], name)
                        if value["status"] in ("EXACT", "RECOVERED"):
                            self.assertEqual(value["value"], truth)
                        elif compiler == "g++":
                            self.assertEqual(value["reason"], "ENTRY_NOT_PROBED")

    def test_conditions(self):
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler):
                done, snapshots, truths = self.run_mark(compiler, "mark-called",
                                                        condition="key == 307 && rate > 1.0")
                wanted = [serial for serial, truth in truths.items() if truth.get("key") == "307"]
                self.assertEqual([harness.variable(s["frames"][0], "serial")["value"]
                                  for s in snapshots], wanted, done.stderr)
                self.assertEqual(len(wanted), 1)

    def test_distributions_and_logs(self):
        program = self.programs["g++"]
        location = {"file": "entry_stash.cc", "line": harness.line_of("entry_stash.cc", "mark-called")}
        done, records = harness.run_with_file(
            program, [{"location": location, "kind": "LOG", "logMessage": "key {key}", "limits": MANY}],
            args=("x", "3"), env=UNLIMITED)
        truths = [line.split("key=")[1].split()[0] for line in done.stdout.splitlines()
                  if "other=" in line]
        self.assertEqual([r["message"] for r in records], [f"key {t}" for t in truths], done.stderr)
        done, _ = harness.run_with_file(
            program, [{"location": location, "kind": "DISTRIBUTION", "expressions": ["key"],
                       "limits": {"maxHits": 0}}], args=("x", "3"),
            env={**UNLIMITED, "STILLFRAME_LOG": "info"})
        final = json.loads(next(line.split(": final ")[1] for line in done.stderr.splitlines()
                                if ": final " in line))
        self.assertEqual(final["distribution"]["sum"], sum(map(int, truths)))
        self.assertEqual(final["counters"]["conditionError"], 0)

    def test_calls_that_began_before(self):
        """What is armed while a call waits knows nothing of that call, nor of one that came before
        it at the same place, and all of the next ones."""
        line = harness.line_of("entry_stash.cc", "mark-waits")
        on = {"tracepoints": [{"location": {"file": "entry_stash.cc", "line": line},
                               "limits": MANY}]}
        with tempfile.TemporaryDirectory() as folder:
            wanted = pathlib.Path(folder) / "t.json"
            output = pathlib.Path(folder) / "o.jsonl"
            errors = pathlib.Path(folder) / "e.txt"
            wanted.write_text('{"tracepoints": []}')
            with open(errors, "wb") as err:
                process = subprocess.Popen(
                    [str(self.programs["g++"]), "waits", "6"], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=err, text=True, bufsize=1,
                    env=harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output,
                                          STILLFRAME_LOG="info", **UNLIMITED))

            self.addCleanup(process.kill)

            def set_wanted(what):
                before = errors.read_text().count(": ARMED")
                new = wanted.with_suffix(".new")
                new.write_text(json.dumps(what))
                os.replace(new, wanted)
                if what["tracepoints"]:
                    harness.wait_for("the tracepoint",
                                     lambda: errors.read_text().count(": ARMED") > before)
                else:
                    harness.wait_for("the text as in the file",
                                     lambda: harness.text_differences(process.pid) == 0)

            def read_key():
                return process.stdout.readline().split("key=")[1].strip()

            keys = [read_key()]
            set_wanted(on)
            for _ in range(2):
                process.stdin.write("go\n")
                keys.append(read_key())
            set_wanted({"tracepoints": []})
            process.stdin.write("go\n")  # the third call is over, unseen
            keys.append(read_key())
            set_wanted(on)
            for _ in range(2):
                process.stdin.write("go\n")
                keys.append(read_key())
            out, _ = process.communicate("go\n", timeout=30)
            self.assertEqual(process.returncode, 0, errors.read_text())
            snapshots = [json.loads(text) for text in output.read_text().splitlines()]
        values = [harness.variable(s["frames"][0], "key") for s in snapshots]
        self.assertEqual([v.get("value", v.get("reason")) for v in values],
                         ["ENTRY_NOT_STASHED", keys[1], "ENTRY_NOT_STASHED", keys[4], keys[5]])

    def test_entries_that_cost_too_much(self):
        """Called all the time by three threads: the tracepoint goes on without its arguments, or is
        taken out for a while where its condition needs them."""
        location = {"file": "entry_stash.cc",
                    "line": harness.line_of("entry_stash.cc", "mark-checked")}
        for condition, said in (
                ("kept_key == -1", "are not stashed at function entries any more"),
                ("key == -1", "OVER_BUDGET: its hits took")):
            with tempfile.TemporaryDirectory() as folder:
                wanted = pathlib.Path(folder) / "t.json"
                errors = pathlib.Path(folder) / "e.txt"
                wanted.write_text(json.dumps({"tracepoints": [
                    {"location": location, "condition": condition, "expressions": ["other"]}]}))
                with open(errors, "wb") as err:
                    process = subprocess.Popen(
                        [str(self.programs["g++"]), "load"], stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE, stderr=err, text=True,
                        env=harness.agent_env(STILLFRAME_TRACEPOINTS=wanted,
                                              STILLFRAME_OUTPUT=pathlib.Path(folder) / "o",
                                              STILLFRAME_LIMITS="cpuPercent=10",
                                              STILLFRAME_LOG="info"))
                self.addCleanup(process.kill)
                harness.wait_for(said, lambda: said in errors.read_text())
                out, _ = process.communicate("", timeout=30)
                self.assertEqual((process.returncode, out), (0, "ok\n"), errors.read_text())

    def test_arming_under_load(self):
        """Threads, recursion and signal handlers that interrupt hits; the tracepoint comes and goes."""
        line = harness.line_of("entry_stash.cc", "mark-checked")
        with tempfile.TemporaryDirectory() as folder:
            wanted = pathlib.Path(folder) / "t.json"
            output = pathlib.Path(folder) / "o.jsonl"
            wanted.write_text('{"tracepoints": []}')
            process = subprocess.Popen(
                [str(self.programs["g++"]), "load"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True,
                env=harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output,
                                      **UNLIMITED))
            self.addCleanup(process.kill)
            end = time.monotonic() + SECONDS
            rounds = 0
            while time.monotonic() < end and process.poll() is None:
                rounds += 1
                on = [{"id": f"{rounds}-{i}", "location": {"file": "entry_stash.cc", "line": line},
                       "condition": "key % 11 == 5" if i else "",
                       "limits": {"maxHits": 1000, "perSecond": 300, "perTrace": 0}}
                      for i in range(rounds % 3)]
                new = wanted.with_suffix(".new")
                new.write_text(json.dumps({"tracepoints": on}))
                os.replace(new, wanted)
                time.sleep(0.15)
            new.write_text('{"tracepoints": []}')
            os.replace(new, wanted)
            harness.wait_for("the text as in the file",
                             lambda: harness.text_differences(process.pid) == 0)
            out, err = process.communicate("", timeout=30)
            self.assertEqual(process.returncode, 0, err)
            self.assertEqual(out, "ok\n", err)
            snapshots = [json.loads(text) for text in output.read_text().splitlines()]
        reasons = {}
        for snapshot in snapshots:
            # The deeper frames of a recursion are looked at too.
            for frame in snapshot["frames"]:
                for name in ("key", "other", "rate"):
                    value = harness.variable(frame, name) if "variables" in frame else None
                    kept = value and harness.variable(frame, f"kept_{name}")
                    if not kept or kept["status"] != "EXACT":
                        continue
                    if value["status"] in ("EXACT", "RECOVERED"):
                        self.assertTrue(same(value, kept["value"]), (value, kept))
                    how = value.get("reason") or value["status"]
                    reasons[how] = reasons.get(how, 0) + 1
        print(f"{rounds} changes, {len(snapshots)} snapshots, {reasons}")
        self.assertGreater(reasons.get("stashed at entry", 0), 100)


if __name__ == "__main__":
    unittest.main(verbosity=2)
