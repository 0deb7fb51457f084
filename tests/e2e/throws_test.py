"""Snapshots at the throw of an exception: the thrower's frames and variables, the type, what()."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import harness

OUTPUT = ("no order 77\nvector::_M_range_check: __n (which is 99) >= this->size() (which is 2)\n"
          "declined\ncaught 5\n")
MATRIX = [("g++", ("-O0", "-g")), ("g++", ("-O2", "-g")), ("clang++-14", ("-O2", "-g")),
          ("g++", ("-O2", "-g", "-static-libstdc++"))]


class ThrowsTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def each(self, **spec):
        for compiler, flags in MATRIX:
            with self.subTest(compiler=compiler, flags=flags):
                program = harness.compile_target("throws.cc", compiler, flags)
                done, snapshots = harness.run_with_file(
                    program, [{"limits": {"maxHits": 10, "perSecond": 1000}, **spec}],
                    env={"STILLFRAME_LOG": "info"})
                self.assertEqual(done.stdout, OUTPUT)
                yield compiler, flags, snapshots, done.stderr

    @staticmethod
    def thrown(snapshot):
        return tuple(e.get("value") for e in snapshot["expressions"])

    def test_a_type_of_the_program(self):
        for _, flags, snapshots, _ in self.each(location={"exception": "shop::NotFound"}):
            snapshot, = snapshots
            self.assertEqual(self.thrown(snapshot), ("shop::NotFound", '"no order 77"'))
            self.assertEqual([e["text"] for e in snapshot["expressions"]], ["type", "what()"])
            frame = snapshot["frames"][0]
            self.assertIn("shop::Find", frame["function"])
            self.assertEqual(frame["line"], harness.line_of("throws.cc", "mark-throw"))
            self.assertIn("shop::Handle", snapshot["frames"][1]["function"])
            found = harness.variable(frame, "id")
            if flags[0] == "-O0":
                self.assertEqual(found["value"], "77")
                self.assertEqual(harness.variable(frame, "orders.[1].name")["value"], '"two"')

    def test_the_line_that_throws(self):
        for compiler, flags in MATRIX:
            with self.subTest(compiler=compiler, flags=flags):
                program = harness.compile_target("throws.cc", compiler, flags)
                _, snapshots = harness.run_with_file(
                    program, [{"location": {"exception": "shop::Error"},
                               "condition": "$exception.code_ == 500"}], args=["0", "deep"])
                frame = snapshots[0]["frames"][0]
                self.assertIn("shop::Deep", frame["function"])
                self.assertEqual((frame["file"].split("/")[-1], frame["line"]),
                                 ("throws.cc", harness.line_of("throws.cc", "mark-deep")))

    def test_bases_match_too(self):
        for _, _, snapshots, _ in self.each(location={"exception": "shop::Error"}):
            self.assertEqual([self.thrown(s) for s in snapshots],
                             [("shop::NotFound", '"no order 77"'), ("shop::Error", '"declined"')])
        for _, _, snapshots, _ in self.each(location={"exception": "std::logic_error"}):
            (snapshot,) = snapshots
            self.assertEqual(self.thrown(snapshot)[0], "std::out_of_range")
            self.assertIn("_M_range_check", self.thrown(snapshot)[1])
            self.assertTrue(any("shop::Handle" in f["function"] for f in snapshot["frames"]))

    def test_every_throw(self):
        for _, _, snapshots, _ in self.each(location={"exception": "*"}):
            self.assertEqual([self.thrown(s)[0] for s in snapshots],
                             ["shop::NotFound", "std::out_of_range", "shop::Plain", "shop::Error",
                              "std::__cxx11::basic_string<char, std::char_traits<char>, "
                              "std::allocator<char> >"])
            plain = snapshots[2]["expressions"][1]
            self.assertEqual((plain["status"], plain["reason"]),
                             ("UNAVAILABLE", "UNSUPPORTED_TYPE"))

    def test_none(self):
        for _, _, snapshots, said in self.each(location={"exception": "shop::Missing"}):
            self.assertEqual(snapshots, [])
            self.assertIn("conditionFalse", said)

    def test_the_command_line(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        done = server.cli("set", "--exception", "std::out_of_range", "--service", "s")
        self.assertIn("std::out_of_range", done.stdout)
        for bad in (["set", "--service", "s"], ["set", "a.cc:1", "--exception", "*"]):
            self.assertEqual(server.cli(*bad, check=False).returncode, 2)

    def test_repeats_are_counted_and_not_captured_again(self):
        for compiler, flags in MATRIX:
            with self.subTest(compiler=compiler, flags=flags):
                program = harness.compile_target("throws.cc", compiler, flags)
                done, snapshots = harness.run_with_file(
                    program, [{"location": {"exception": "shop::Error"},
                               "limits": {"maxHits": 10, "perSecond": 1000}}],
                    args=["200"], env={"STILLFRAME_LOG": "info"})
                # Handle and Find, each from the loop of kinds and from the hot one.
                self.assertEqual(sorted(self.thrown(s)[0] for s in snapshots),
                                 ["shop::Error"] * 2 + ["shop::NotFound"] * 2)
                kinds = {s["fingerprint"] for s in snapshots}
                self.assertEqual(len(kinds), 4)
                status = json.loads(re.findall(r"final (\{.*\})", done.stderr)[0])
                self.assertEqual({t["fingerprint"] for t in status["throws"]}, kinds)
                self.assertEqual(sorted(t["count"] for t in status["throws"]), [1, 1, 20, 180])
                counters = status["counters"]
                self.assertEqual((counters["captured"], counters["rateLimited"]), (4, 198))
                # The same in another run: it names code, not addresses.
                _, again = harness.run_with_file(
                    program, [{"location": {"exception": "shop::Error"},
                               "limits": {"maxHits": 10, "perSecond": 1000}}], args=["20"])
                self.assertEqual({s["fingerprint"] for s in again}, kinds)

    def test_the_thrown_object(self):
        for _, flags, snapshots, said in self.each(
                location={"exception": "shop::Error"}, condition="$exception.code_ == 402",
                expressions=["$exception.code_ + 1", "$exception", "$exception.what()"]):
            snapshot, = snapshots
            self.assertEqual(self.thrown(snapshot)[:3], ("shop::Error", '"declined"', "403"))
            self.assertEqual(harness.variable({"variables": snapshot["expressions"][3]["children"]},
                                              "code_")["value"], "402")
            self.assertIn('"declined"', snapshot["expressions"][4]["value"])
        for _, _, snapshots, _ in self.each(location={"exception": "shop::Error"},
                                            condition='$exception.what().starts_with("no order")'):
            self.assertEqual([self.thrown(s)[0] for s in snapshots], ["shop::NotFound"])
        for _, _, snapshots, _ in self.each(location={"exception": "shop::Plain"},
                                            condition="$exception.number < 5"):
            self.assertEqual(snapshots, [])

    def test_mistakes_about_the_thrown_object(self):
        for exception, condition, reason in (
                ("shop::Error", "$exception.cod > 1", "UNKNOWN_VARIABLE"),
                ("shop::Error", "$exception.code_ >", "BAD_EXPRESSION"),
                ("shop::Missing", "$exception.code_ > 1", "UNKNOWN_VARIABLE"),
                ("*", "$exception.code_ > 1", "UNKNOWN_VARIABLE")):
            for _, _, snapshots, said in self.each(location={"exception": exception},
                                                   condition=condition):
                self.assertEqual(snapshots, [])
                self.assertIn(reason, said)

    def test_what_the_policy_denies(self):
        program = harness.compile_target("throws.cc", *MATRIX[1])
        with tempfile.TemporaryDirectory(prefix="sf-throws-") as folder:
            policy = pathlib.Path(folder) / "policy.json"
            policy.write_text(json.dumps({"functions": {"deny": ["*Find"]}}))
            _, events = harness.run_with_file(
                program, [{"location": {"exception": "shop::Error"},
                           "limits": {"maxHits": 10, "perSecond": 1000},
                           "expressions": ["$exception.code_", "$exception.what()"]},
                          {"kind": "LOG", "location": {"exception": "shop::Error"},
                           "logMessage": "{$exception.code_}"}],
                env={"STILLFRAME_POLICY": policy})
        self.assertEqual(len(events), 4)
        for event in events:
            is_denied = "Find" in event["frames"][0]["function"]
            self.assertEqual(event["expressions"][0]["value"],
                             "shop::NotFound" if is_denied else "shop::Error")
            told = {(e["status"], e.get("reason"), e.get("value")) for e in event["expressions"][1:]}
            if is_denied:
                self.assertEqual(told, {("REDACTED", "DENIED_BY_POLICY", None)})
                self.assertNotIn("no order", json.dumps(event))
                self.assertNotIn("404", json.dumps(event))
            else:
                self.assertIn("declined", json.dumps(event))
        self.assertEqual(sorted(e["message"] for e in events if e["kind"] == "LOG"),
                         ["402", "<redacted>"])

    def test_counted(self):
        for _, _, snapshots, said in self.each(kind="COUNTER",
                                               location={"exception": "std::runtime_error"}):
            self.assertEqual(snapshots, [])
            self.assertRegex(said, r"at exit: hits=5 .*captured=2")

    def test_logged(self):
        for _, _, snapshots, said in self.each(
                kind="LOG", location={"exception": "shop::Error"},
                logMessage="{$exception.code_ - 400}: {$exception.what()} {{}}",
                expressions=["$exception.code_"]):
            self.assertEqual([s["kind"] for s in snapshots], ["LOG", "LOG"], said)
            self.assertEqual([re.sub(r"0x[0-9a-f]+ ", "", s["message"]) for s in snapshots],
                             ["4: no order 77 {}", "2: declined {}"])
            first = snapshots[0]
            self.assertEqual([(e["text"], e["value"]) for e in first["expressions"]],
                             [("type", "shop::NotFound"), ("what()", '"no order 77"'),
                              ("$exception.code_", "404")])
            # The place is that of the throw.
            self.assertEqual(len(first["frames"]), 1)
            self.assertIn("shop::Find", first["frames"][0]["function"])
            self.assertEqual(first["frames"][0]["line"], harness.line_of("throws.cc", "mark-throw"))

    def test_every_throw_is_logged(self):
        program = harness.compile_target("throws.cc", *MATRIX[1])
        done, snapshots = harness.run_with_file(
            program, [{"kind": "LOG", "location": {"exception": "shop::Error"},
                       "logMessage": "code {$exception.code_}"}],
            args=["20"], env={"STILLFRAME_LIMITS": "snapshotsPerSecond=1000,cpuPercent=50"})
        self.assertEqual(done.stdout, OUTPUT)
        self.assertEqual(sorted(s["message"] for s in snapshots),
                         ["code 402"] * 19 + ["code 404"] * 3)

    def test_logged_without_a_type(self):
        for _, _, snapshots, said in self.each(kind="LOG", location={"exception": "*"},
                                               logMessage="thrown"):
            self.assertEqual([(s["message"], s["expressions"][0]["value"].split("<")[0])
                              for s in snapshots],
                             [("thrown", name) for name in
                              ("shop::NotFound", "std::out_of_range", "shop::Plain", "shop::Error",
                               "std::__cxx11::basic_string")], said)

    def test_distribution(self):
        for compiler, flags in MATRIX:
            with self.subTest(compiler=compiler, flags=flags):
                program = harness.compile_target("throws.cc", compiler, flags)
                done, snapshots = harness.run_with_file(
                    program, [{"kind": "DISTRIBUTION", "location": {"exception": "shop::Error"},
                               "condition": "$exception.code_ > 0",
                               "expressions": ["$exception.code_ - 400"]}],
                    args=["200"], env={"STILLFRAME_LOG": "info"})
                self.assertEqual(snapshots, [])
                self.assertEqual(done.stdout, OUTPUT)
                status = json.loads(re.findall(r"final (\{.*\})", done.stderr)[0])
                of = status["distribution"]
                self.assertEqual((of["count"], of["sum"], of["min"], of["max"]),
                                 (202, 181 * 2 + 21 * 4, 2, 4), done.stderr)

    def test_mistakes_in_logs_and_distributions(self):
        for spec, said_of_it in (
                ({"kind": "LOG", "logMessage": "at {$exception.cod}"},
                 "UNKNOWN_VARIABLE: logMessage column 16"),
                ({"kind": "LOG", "logMessage": "at {$exception.code_ +}"}, "BAD_EXPRESSION"),
                ({"kind": "DISTRIBUTION", "expressions": ["$exception.what()"]},
                 "is no number but a const char *"),
                ({"kind": "DISTRIBUTION", "expressions": ["$exception.cod"]}, "near: code_")):
            program = harness.compile_target("throws.cc", *MATRIX[1])
            done, snapshots = harness.run_with_file(
                program, [{"location": {"exception": "shop::Error"}, **spec}],
                env={"STILLFRAME_LOG": "info"})
            self.assertEqual(snapshots, [])
            self.assertIn(said_of_it, done.stderr)

    def test_through_a_server_and_the_command_line(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        key = server.key("agent", "--service", "throws")
        made = [json.loads(server.cli("--output", "json", "set", "--exception", "shop::Error",
                                      "--service", "throws", *rest).stdout)
                for rest in (["--log", "code {$exception.code_}"],
                             ["--distribution", "$exception.code_"], ["--count"])]
        self.assertEqual([m["kind"] for m in made], ["LOG", "DISTRIBUTION", "COUNTER"])
        program = harness.compile_target("throws.cc", *MATRIX[1])
        env = server.agent_env(key, "throws", STILLFRAME_START_WAIT="20s")
        env["LD_PRELOAD"] = f"{harness.flush_library()}:{env['LD_PRELOAD']}"
        done = subprocess.run([str(program)], env=env, capture_output=True, text=True, timeout=60)
        self.assertEqual((done.stdout, done.stderr), (OUTPUT, ""))

        def logs():
            found = server.call("GET", "/v1/snapshots?service=throws")[1]["snapshots"]
            return found if len(found) == 2 else None
        self.assertEqual(sorted(s["message"] for s in harness.wait_for("both log events", logs)),
                         ["code 402", "code 404"])

        def status(tracepoint):
            agents = server.call("GET", f"/v1/tracepoints/{tracepoint['id']}")[1]["agents"]
            return agents[0] if agents and agents[0]["counters"]["captured"] == 2 else None
        for tracepoint in made:
            of = harness.wait_for(f"the count of a {tracepoint['kind']}", lambda: status(tracepoint))
            if tracepoint["kind"] == "DISTRIBUTION":
                self.assertEqual(of["distribution"]["sum"], 402 + 404)


if __name__ == "__main__":
    unittest.main(verbosity=2)
