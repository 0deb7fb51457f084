"""Snapshots at the throw of an exception: the thrower's frames and variables, the type, what()."""
import json
import re
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

    def test_counted(self):
        for _, _, snapshots, said in self.each(kind="COUNTER",
                                               location={"exception": "std::runtime_error"}):
            self.assertEqual(snapshots, [])
            self.assertRegex(said, r"at exit: hits=5 .*captured=2")


if __name__ == "__main__":
    unittest.main(verbosity=2)
