"""Variable-length arrays: all of them at -O0; with optimization none of them wrong."""
import shutil
import unittest

import harness

COMPILERS = ("g++", "clang++-14", "clang++-19")
SQUARES = ["0", "1", "4", "9", "16"]


class ArraysTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def frames(self, levels=("-O0", "-O1", "-O2"), **spec):
        for compiler in COMPILERS:
            if shutil.which(compiler) is None:
                continue
            for level in levels:
                program = harness.compile_target("arrays.cc", compiler, ("-g", level, "-Wno-vla"))
                with self.subTest(compiler=compiler, level=level):
                    done, snapshots = harness.run_with_file(program, [
                        {"location": {"file": "arrays.cc",
                                      "line": harness.line_of("arrays.cc", "mark-arrays")},
                         **spec}])
                    self.assertEqual(len(snapshots), 1, done.stderr)
                    yield snapshots[0], level

    def elements(self, frame, name, level):
        """The array, or None where optimized code does not tell; then it says why."""
        found = harness.variable(frame, name)
        self.assertIsNotNone(found, name)
        if "value" not in found:
            self.assertNotEqual(level, "-O0", found)
            self.assertTrue(found.get("reason"), found)
            return None
        self.assertIn(found["status"], ("EXACT", "RECOVERED"), found)
        return found

    def test_as_many_elements_as_there_are(self):
        for snapshot, level in self.frames():
            frame = snapshot["frames"][0]
            squares = self.elements(frame, "squares", level)
            if squares:
                self.assertEqual(squares["value"], "size=5")
                self.assertEqual([v["value"] for v in squares["children"]], SQUARES)
            text = self.elements(frame, "text", level)
            if text:
                self.assertEqual(text["value"], '"hello"')
            grid = self.elements(frame, "grid", level)
            if grid:
                self.assertEqual(grid["value"], "size=5")
                self.assertEqual([v["value"] for v in grid["children"][4]["children"]],
                                 ["4", "4.1", "4.2"])
            items = self.elements(frame, "items", level)
            if items:
                last = {v["name"]: v["value"] for v in items["children"][4]["children"]}
                self.assertEqual(last["count"], "4")
                # Where only the caller, met for the first time, tells how many there are, the hit
                # does not know how far to read.
                if level == "-O0" or '"' in last["name"]:
                    self.assertIn('"even"', last["name"])

    def test_items_are_a_limit(self):
        for snapshot, level in self.frames(capture={"items": 2}):
            squares = self.elements_cut(snapshot["frames"][0], level)
            if squares:
                self.assertEqual([v["value"] for v in squares["children"]], SQUARES[:2])

    def elements_cut(self, frame, level):
        found = harness.variable(frame, "squares")
        if "value" not in found:
            self.assertNotEqual(level, "-O0", found)
            return None
        self.assertEqual((found["status"], found["value"]), ("TRUNCATED", "size=5"))
        return found

    def test_elements_in_conditions_and_watches(self):
        for snapshot, _ in self.frames(("-O0",), condition="squares[3] == 9",
                                       expressions=["items[1].count"]):
            self.assertEqual(snapshot["expressions"][0].get("value"), "1")

    def test_expressions_that_would_need_the_size_are_refused(self):
        program = harness.compile_target("arrays.cc", "g++", ("-g", "-O0", "-Wno-vla"))
        where = {"file": "arrays.cc", "line": harness.line_of("arrays.cc", "mark-arrays")}
        for text in ("sizeof(squares)", "any(squares, x -> x > 3)", "squares.size()"):
            done, snapshots = harness.run_with_file(
                program, [{"location": where, "expressions": [text]}])
            self.assertEqual(snapshots, [], text)
            self.assertIn("BAD_EXPRESSION", done.stderr)


if __name__ == "__main__":
    unittest.main()
