"""SPAN tracepoints: the time between two lines, or that a function takes."""
import json
import re
import subprocess
import unittest

import harness

INCLUDE = (f"-I{harness.SOURCE / 'include'}",)
MATRIX = [(compiler, level) for compiler in ("g++", "clang++-14") for level in ("-O0", "-O2")]


class SpanTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def spans(self, compiler, level, args=(), **spec):
        program = harness.compile_target("spans.cc", compiler, (level, "-g"), INCLUDE)
        done, snapshots = harness.run_with_file(
            program, [{"kind": "SPAN", **spec}], args=args, env={"STILLFRAME_LOG": "info"})
        self.assertEqual(done.stdout, "4004\n")
        self.assertEqual({s["kind"] for s in snapshots} - {"SPAN"}, set())
        final, = re.findall(r"final (\{.*\})", done.stderr)
        self.status = json.loads(final)
        counters = self.status["counters"]
        self.assertEqual(counters["captured"], len(snapshots), done.stderr)
        self.assertEqual(counters["hits"], counters["captured"] + counters["conditionFalse"])
        return sorted(snapshots, key=lambda s: s["time"])

    def each(self):
        for compiler, level in MATRIX:
            with self.subTest(compiler=compiler, level=level):
                yield compiler, level

    def expect(self, spans, *least_microseconds):
        self.assertEqual(len(spans), len(least_microseconds), self.status)
        for span, least in zip(spans, least_microseconds):
            # The time stamp counter's rate is known to a few parts in a million.
            self.assertGreaterEqual(span["durationNanos"], least * 999)
            self.assertLess(span["durationNanos"], least * 1000 + 400_000_000)

    def test_a_function(self):
        for compiler, level in self.each():
            spans = self.spans(compiler, level, location={"function": "shop::Pay"})
            # The second call ended by an exception: it has no end.
            self.expect(spans, 1000, 3000)
            for span in spans:
                self.assertIn("shop::Pay", span["frames"][0]["function"])
                self.assertEqual(span["trace"]["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736")
                self.assertEqual(span["frames"][0]["variables"], [])

    def test_recursion(self):
        for compiler, level in self.each():
            spans = self.spans(compiler, level, location={"function": "shop::Walk"})
            if len(spans) != 3 and level != "-O0":
                continue  # made a loop by the compiler
            self.expect(spans, 900, 600, 300)

    def test_between_two_lines_over_an_exception(self):
        place = {"file": "spans.cc", "line": harness.line_of("spans.cc", "mark-begin")}
        end = {"file": "spans.cc", "line": harness.line_of("spans.cc", "mark-end")}
        for compiler, level in self.each():
            spans = self.spans(compiler, level, location=place, endLocation=end)
            self.expect(spans, 1200, 200, 3200)

    def test_a_condition_holds_where_it_begins(self):
        spans = self.spans("g++", "-O0", location={"function": "shop::Handle"},
                           condition="microseconds > 0")
        self.expect(spans, 1200, 3200)
        self.assertEqual(self.status["counters"]["conditionFalse"], 1)

    def test_only_long_ones(self):
        # On a busy machine the short ones may be long, too: what was left out is known to be short.
        place = {"file": "spans.cc", "line": harness.line_of("spans.cc", "mark-begin")}
        end = {"file": "spans.cc", "line": harness.line_of("spans.cc", "mark-end")}
        for ended, longest, spec in (
                (2, 3000, {"location": {"function": "shop::Pay"}}),
                (3, 3200, {"location": place, "endLocation": end})):
            spans = self.spans("g++", "-O0", condition="$duration > 2000000", **spec)
            counters = self.status["counters"]
            self.assertEqual(len(spans) + counters["conditionFalse"], ended)
            self.assertGreaterEqual(max(s["durationNanos"] for s in spans), longest * 999)
            self.assertGreater(min(s["durationNanos"] for s in spans), 1_999_000)
            nothing = self.spans("g++", "-O0", condition="$duration < 100", **spec)
            self.assertEqual(nothing, [])
            self.assertEqual(self.status["counters"]["conditionFalse"], ended)

    def test_threads(self):
        spans = self.spans("g++", "-O2", args=["5"], location={"function": "shop::Handle"})
        self.assertEqual(len(spans), 7)
        self.assertEqual(len({s["thread"]["id"] for s in spans}), 5)

    def test_what_cannot_be(self):
        self.spans("g++", "-O2", location={"function": "shop::Nothing"})
        self.assertEqual(self.status["reason"], "FUNCTION_NOT_FOUND")
        self.spans("g++", "-O2", location={"file": "spans.cc", "line": 20},
                   endLocation={"file": "spans.cc", "line": 1})
        self.assertEqual(self.status["reason"], "LINE_HAS_NO_CODE")
        self.assertIn("endLocation", self.status["message"])

    def test_over_the_server(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        server.cli("set", "shop::Pay", "--span", "--service", "p")
        done = server.cli("--output", "json", "set", "a.cc:1", "--span", "--to", "a.cc:2",
                          "--service", "other")
        self.assertEqual(json.loads(done.stdout)["endLocation"], {"file": "a.cc", "line": 2})
        done = server.cli("set", "a.cc:1", "--to", "a.cc:2", "--service", "p", check=False)
        self.assertEqual(done.returncode, 2)
        program = harness.compile_target("spans.cc", "g++", ("-O2", "-g"), INCLUDE)
        subprocess.run([str(program)], check=True, capture_output=True, timeout=60,
                       env=server.agent_env(server.key("agent"), "p", STILLFRAME_START_WAIT="20s"))
        spans = harness.wait_for("the spans", lambda: (
            lambda s: s if len(s) == 2 else None)(
                server.call("GET", "/v1/snapshots?kind=SPAN")[1]["snapshots"]))
        self.assertTrue(all(s["durationNanos"] > 999_000 for s in spans))
        self.assertRegex(server.cli("snapshots").stdout, r"shop::Pay.* (1\.\d+ ms|999\.\d+ µs)")


if __name__ == "__main__":
    unittest.main(verbosity=2)
