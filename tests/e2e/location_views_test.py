"""Several statements at one address: the variables are those before the statement that was asked
for, as the program prints them."""
import re
import shutil
import unittest

import harness

SOURCE = "location_views.cc"
MARKS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh")
COMPILERS = ("g++", "clang++-14", "clang++-19")


class LocationViewsTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    @staticmethod
    def snapshots(program):
        """By mark, with what the program printed of it. Lines without code are none."""
        done, snapshots = harness.run_with_file(program, [
            {"id": mark, "location": {"file": SOURCE,
                                      "line": harness.line_of(SOURCE, "mark-" + mark)},
             "expressions": ["x", "x + 1"]} for mark in MARKS])
        told = {mark: {"x": x, "y": y} for mark, x, y in
                re.findall(r"mark-(\w+) x=(-?\d+) y=(-?\d+)", done.stdout)}
        return {s["tracepointId"]: s for s in snapshots}, told

    def test_values_before_the_statement(self):
        for compiler in COMPILERS:
            if shutil.which(compiler) is None:
                continue
            for flags in (("-O0",), ("-O1",), ("-O2",), ("-O2", "-gdwarf-4"), ("-O3",), ("-Os",)):
                with self.subTest(compiler=compiler, flags=flags):
                    program = harness.compile_target(SOURCE, compiler, ("-g", *flags))
                    by_mark, told = self.snapshots(program)
                    self.assertEqual(set(told), set(MARKS))
                    addresses = {}
                    for mark, snapshot in by_mark.items():
                        frame = snapshot["frames"][0]
                        # Where no jump fits the line is probed at its next instruction, which may be
                        # another line's.
                        if frame["line"] != harness.line_of(SOURCE, "mark-" + mark):
                            continue
                        addresses.setdefault(frame["pc"], []).append(mark)
                        for name, value in told[mark].items():
                            found = harness.variable(frame, name)
                            if "value" in found:
                                self.assertEqual(found["value"], value, (mark, name))
                            else:
                                self.assertTrue(found["reason"])
                        plain, more = snapshot["expressions"]
                        if "value" in plain:
                            self.assertEqual(plain["value"], told[mark]["x"], mark)
                            self.assertEqual(int(more["value"]), int(told[mark]["x"]) + 1, mark)
                    if compiler == "g++" and flags[0] == "-O2":
                        # Else this proves nothing.
                        shared = next(m for m in addresses.values() if len(m) >= 3)
                        values = [harness.variable(by_mark[mark]["frames"][0], "x").get("value")
                                  for mark in shared]
                        self.assertGreater(len(set(values)), 1, (shared, values))
                        self.assertNotIn(None, values)

    def test_an_address_is_behind_all_its_statements(self):
        """As a debugger shows it, which knows only where it stands."""
        program = harness.compile_target(SOURCE, "g++", ("-g", "-O2"))
        by_mark, told = self.snapshots(program)
        pc = by_mark["first"]["frames"][0]["pc"]
        self.assertEqual(pc, by_mark["fourth"]["frames"][0]["pc"])
        done, snapshots = harness.run_with_file(program, [{"location": {"address": pc}}])
        self.assertEqual(len(snapshots), 1, done.stderr)
        found = harness.variable(snapshots[0]["frames"][0], "x")
        self.assertEqual(found["value"], told["fourth"]["x"])


if __name__ == "__main__":
    unittest.main()
