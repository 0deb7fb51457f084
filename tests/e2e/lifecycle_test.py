"""The host's behaviour never changes: same output, same exit code, same signals."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import harness


class LifecycleTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = harness.compile_target("lifecycle.cc")
        cls.line = harness.line_of("lifecycle.cc", "mark-work")
        cls.throw_line = harness.line_of("lifecycle.cc", "mark-throw")

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def tracepoint(self, line=None, **spec):
        return {"location": {"file": "lifecycle.cc", "line": line or self.line}, **spec}

    def plain(self, *args):
        return subprocess.run([str(self.program), *args], capture_output=True, text=True,
                              timeout=60)

    def same(self, mode, tracepoints, **how):
        expected = self.plain(mode)
        done, snapshots = harness.run_with_file(self.program, tracepoints, [mode], check=False, **how)
        self.assertEqual(done.returncode, expected.returncode, done.stderr)
        self.assertEqual(done.stdout, expected.stdout)
        return done, snapshots

    def test_every_mode_behaves_as_without_the_agent(self):
        for mode in ("plain", "fork", "exec", "exceptions", "threads", "signals", "abort", "quick"):
            with self.subTest(mode=mode):
                self.same(mode, [self.tracepoint(), self.tracepoint(self.throw_line)],
                          flush=False)

    def test_snapshot_at_exit_is_flushed(self):
        _, snapshots = self.same("plain", [self.tracepoint()])
        self.assertEqual(len(snapshots), 1)
        value = harness.variable(snapshots[0]["frames"][0], "value")
        self.assertIn(value["value"], ("3", "100"))

    def test_hits_in_static_destruction_do_no_harm(self):
        self.same("plain", [self.tracepoint(condition="value == 100")])

    def test_forked_child_does_not_report(self):
        _, snapshots = self.same("fork", [self.tracepoint(limits={"maxHits": 100,
                                                                 "perSecond": 1000})])
        self.assertEqual(len(snapshots), 2)  # Work(1), and the destructor's in the parent

    def test_rate_and_hit_limits(self):
        _, snapshots = self.same("threads", [self.tracepoint(limits={"maxHits": 3,
                                                                    "perSecond": 10000})])
        self.assertEqual(len(snapshots), 3)
        _, snapshots = self.same("threads", [self.tracepoint(limits={"maxHits": 100,
                                                                    "perSecond": 0.01})])
        self.assertEqual(len(snapshots), 1)

    def test_condition_errors_are_survived(self):
        self.same("threads", [self.tracepoint(condition="value / (value - value) == 1")])

    def test_bad_settings_keep_the_agent_off(self):
        for name, value in (("STILLFRAME_SERVER", "nonsense"), ("STILLFRAME_LOG", "loud"),
                            ("STILLFRAME_START_WAIT", "soon")):
            env = harness.agent_env(STILLFRAME_SERVER="http://127.0.0.1:1")
            env[name] = value
            done = subprocess.run([str(self.program), "plain"], env=env, capture_output=True,
                                  text=True, timeout=30)
            self.assertEqual(done.returncode, 3)
            self.assertEqual(done.stdout, self.plain("plain").stdout)
            lines = done.stderr.splitlines()
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn(name, lines[0])

    def test_unreachable_server_does_no_harm(self):
        env = harness.agent_env(STILLFRAME_SERVER=f"http://127.0.0.1:{harness.free_port()}",
                                STILLFRAME_LOG="off")
        done = subprocess.run([str(self.program), "threads"], env=env, capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, self.plain("threads").stdout)
        self.assertEqual(done.stderr, "")

    def test_disabled_wins(self):
        env = harness.agent_env(STILLFRAME_SERVER="nonsense", STILLFRAME_DISABLE="1")
        done = subprocess.run([str(self.program), "plain"], env=env, capture_output=True,
                              text=True, timeout=30)
        self.assertEqual(done.stderr, "")
        self.assertEqual(done.returncode, 3)

    def test_refusals_are_said(self):
        cases = [
            ({"location": {"file": "nowhere.cc", "line": 1}}, "FILE_NOT_FOUND"),
            ({"location": {"file": "lifecycle.cc", "line": 99999}}, "LINE_HAS_NO_CODE"),
            (self.tracepoint(condition="value >"), "BAD_EXPRESSION"),
            (self.tracepoint(condition="valeu > 1"), "UNKNOWN_VARIABLE"),
        ]
        for spec, code in cases:
            done, snapshots = harness.run_with_file(self.program, [spec], ["plain"], check=False)
            self.assertEqual(done.returncode, 3)
            self.assertEqual(snapshots, [])
            self.assertIn(code, done.stderr)
        self.assertIn("value", done.stderr)  # the near name

    def test_stripped_program(self):
        stripped = self.program.with_name("stripped")
        subprocess.run(["strip", "-s", "-o", str(stripped), str(self.program)], check=True)
        done, snapshots = harness.run_with_file(stripped, [self.tracepoint()], ["plain"],
                                                check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn("NO_DEBUG_INFO", done.stderr)
        self.assertEqual(snapshots, [])

    def test_file_is_read_again_when_it_changes(self):
        source = self.program.with_name("loop.cc")
        source.write_text("#include <unistd.h>\n#include <cstdio>\n"
                          "__attribute__((noinline)) int Step(int n) {\n"
                          "  asm volatile(\"\" : : \"r\"(n));\n  return n + 1;\n}\n"
                          "int main() { int n = 0; char c;\n"
                          "  while (read(0, &c, 1) == 1) n = Step(n);\n"
                          "  std::printf(\"%d\\n\", n); }\n")
        program = self.program.with_name("loop")
        subprocess.run(["g++", "-O2", "-g", "-o", str(program), str(source)], check=True)
        with tempfile.TemporaryDirectory() as folder:
            wanted = pathlib.Path(folder) / "t.json"
            output = pathlib.Path(folder) / "o.jsonl"
            wanted.write_text('{"tracepoints": []}')
            env = harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output,
                                    STILLFRAME_START_WAIT="10s")
            process = subprocess.Popen([str(program)], env=env, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, text=True)
            new = wanted.with_suffix(".new")
            new.write_text(json.dumps({"tracepoints": [
                {"location": {"file": "loop.cc", "line": 5}}]}))
            os.replace(new, wanted)

            def poke():
                process.stdin.write("x")
                process.stdin.flush()
                return output.exists() and output.read_text().count("\n") == 1

            harness.wait_for("a snapshot after the file changed", poke)
            process.communicate("", timeout=20)
            self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
