"""Snapshots at the throw of an exception: the thrower's frames and variables, the type, what()."""
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

    def test_counted(self):
        for _, _, snapshots, said in self.each(kind="COUNTER",
                                               location={"exception": "std::runtime_error"}):
            self.assertEqual(snapshots, [])
            self.assertRegex(said, r"at exit: hits=5 .*captured=2")


if __name__ == "__main__":
    unittest.main(verbosity=2)
