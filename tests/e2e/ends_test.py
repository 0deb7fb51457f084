"""The last words of programs: snapshots where std::terminate is called, and where a fatal signal comes,
while the program ends as it would have ended without."""
import json
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import harness

MATRIX = [("g++", ("-O0", "-g")), ("g++", ("-O2", "-g")), ("clang++-14", ("-O2", "-g"))]
NAME = '"a name that is long enough for the heap"'
SIGNALS = {"segv": signal.SIGSEGV, "fpe": signal.SIGFPE, "ill": signal.SIGILL,
           "abort": signal.SIGABRT, "raise": signal.SIGSEGV}


class EndsTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def end(self, how, fatal, compiler="g++", flags=("-O0", "-g"), **spec):
        """(returncode, output, snapshots, standard error) of a program that is left alone to end."""
        program = harness.compile_target("ends.cc", compiler, flags)
        with tempfile.TemporaryDirectory(prefix="sf-ends-") as folder:
            wanted = pathlib.Path(folder) / "tracepoints.json"
            output = pathlib.Path(folder) / "snapshots.jsonl"
            wanted.write_text(json.dumps({"tracepoints": [{"location": {"fatal": fatal}, **spec}]}))
            begin = time.monotonic()
            done = subprocess.run(
                [str(program), how], capture_output=True, text=True, timeout=60,
                env=harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output,
                                      STILLFRAME_START_WAIT="20s", STILLFRAME_LOG="info"))
            self.took = time.monotonic() - begin
            lines = output.read_text().splitlines() if output.exists() else []
        alone = subprocess.run([str(program), how], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (alone.returncode, alone.stdout), how)
        return done.returncode, [json.loads(line) for line in lines], done.stderr

    def fail_frame(self, snapshot):
        return next(f for f in snapshot["frames"] if "shop::Fail" in f["function"])

    def thrown(self, snapshot):
        return [e.get("value") for e in snapshot["expressions"]]

    def test_terminate(self):
        for compiler, flags in MATRIX:
            for how in ("throw", "noexcept", "thread", "handler"):
                with self.subTest(compiler=compiler, flags=flags, how=how):
                    _, snapshots, said = self.end(how, "terminate", compiler, flags)
                    self.assertEqual(len(snapshots), 1, said)
                    snapshot, = snapshots
                    self.assertEqual(self.thrown(snapshot), ["std::out_of_range", '"order 77"'])
                    if how in ("throw", "thread"):  # else the stack is unwound so far already
                        self.assertIn("terminate", snapshot["frames"][0]["function"])
                        frame = self.fail_frame(snapshot)
                        self.assertIn("Fail", frame["function"])
                        if flags[0] == "-O0":
                            order = harness.variable(frame, "order.name")
                            self.assertEqual(order["value"], NAME)

    def test_terminate_without_an_exception(self):
        code, snapshots, said = self.end("plain", "terminate")
        self.assertEqual(code, -signal.SIGABRT)
        snapshot, = snapshots
        self.assertEqual({e["status"] for e in snapshot["expressions"]}, {"UNAVAILABLE"}, said)

    def test_signals(self):
        for compiler, flags in MATRIX:
            for how, number in SIGNALS.items():
                with self.subTest(compiler=compiler, flags=flags, how=how):
                    code, snapshots, said = self.end(how, "signal", compiler, flags)
                    self.assertEqual(code, -number)
                    snapshot, = snapshots
                    self.assertEqual(snapshot["expressions"][0]["value"],
                                     "SIG" + number.name.removeprefix("SIG"), said)
                    frame = self.fail_frame(snapshot)
                    if how == "segv":
                        self.assertEqual(snapshot["expressions"][1]["value"], "0x0")
                        self.assertEqual(snapshot["frames"][0], frame)
                        self.assertEqual(frame["line"], harness.line_of("ends.cc", "mark-segv"))
                    if flags[0] == "-O0":
                        self.assertEqual(harness.variable(frame, "order.name")["value"], NAME)
                        self.assertEqual(harness.variable(frame, "order.items.[2]")["value"], "3")
                        self.assertEqual(harness.variable(frame, "step")["value"], "231")

    def test_handlers_that_were_there_before(self):
        program = harness.compile_target("ends.cc", "g++", ("-O0", "-g"))
        for how, code, rest, most in (("segv-handled", 7, "handler\n", 1),
                                      ("segv-altstack", 7, "handler\n", 1),
                                      ("segv-recovered", 3, "recovered\n" * 3, 3),
                                      ("segv", -signal.SIGSEGV, "", 1)):
            with self.subTest(how=how), tempfile.TemporaryDirectory(prefix="sf-ends-") as folder:
                wanted = pathlib.Path(folder) / "tracepoints.json"
                output = pathlib.Path(folder) / "snapshots.jsonl"
                said = pathlib.Path(folder) / "said"
                wanted.write_text(json.dumps({"tracepoints": []}))
                env = harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output,
                                        STILLFRAME_START_WAIT="20s", STILLFRAME_LOG="info")
                with open(said, "w") as errors:
                    process = subprocess.Popen([str(program), how, "wait"], env=env, text=True,
                                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                               stderr=errors)
                self.assertEqual(process.stdout.readline(), "order 77\n")
                self.assertEqual(process.stdout.readline(), "ready\n")
                wanted.write_text(json.dumps({"tracepoints": [
                    {"location": {"fatal": "SIGSEGV"},
                     "limits": {"maxHits": 10, "perSecond": 1000}}]}))
                harness.wait_for("the handler", lambda: "ARMED" in said.read_text())
                out, _ = process.communicate("x", timeout=60)
                self.assertEqual((process.returncode, out), (code, rest), said.read_text())
                snapshots = [json.loads(line) for line in output.read_text().splitlines()]
                self.assertEqual(len(snapshots), most, said.read_text())
                for snapshot in snapshots:
                    frame = self.fail_frame(snapshot)
                    self.assertEqual(harness.variable(frame, "order.name")["value"], NAME)
                    self.assertEqual(harness.variable(frame, "step")["value"], "231")

    def test_a_handler_of_later(self):
        code, snapshots, said = self.end("segv-later", "SIGSEGV")
        self.assertEqual((code, snapshots), (7, []))
        self.assertIn("its own handler", said)

    def test_another_signal(self):
        code, snapshots, said = self.end("fpe", "SIGSEGV")
        self.assertEqual((code, snapshots), (-signal.SIGFPE, []))

    def test_over_the_server(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        server.cli("set", "--fatal", "SIGSEGV", "--service", "p")
        program = harness.compile_target("ends.cc", "g++", ("-O0", "-g"))
        done = subprocess.run([str(program), "segv"], capture_output=True, timeout=60,
                              env=server.agent_env(server.key("agent"), "p",
                                                   STILLFRAME_START_WAIT="20s"))
        self.assertEqual(done.returncode, -signal.SIGSEGV)
        snapshots = harness.wait_for(
            "the snapshot", lambda: server.call("GET", "/v1/snapshots")[1]["snapshots"])
        shown = server.cli("snapshot", snapshots[0]["id"]).stdout
        self.assertIn("SIGSEGV", shown)
        self.assertIn("shop::Fail", shown)
        for bad in (["--fatal", "SIGKILL"], ["a.cc:1", "--fatal", "signal"]):
            self.assertNotEqual(server.cli("set", *bad, "--service", "p", check=False).returncode, 0)

    def test_refused(self):
        for spec in ({"condition": "1 > 0"}, {"expressions": ["$thread"]},
                     {"kind": "LOG", "logMessage": "x"}):
            _, snapshots, said = self.end("none", "terminate", **spec)
            self.assertEqual(snapshots, [])
            self.assertIn("UNSUPPORTED", said)


if __name__ == "__main__":
    unittest.main(verbosity=2)
