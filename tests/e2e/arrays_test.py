"""Variable-length arrays: all of them at -O0; with optimization none of them wrong."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

COMPILERS = ("g++", "clang++-14", "clang++-19")
DIMENSIONS = {"source": "arrays_dimensions.cc", "mark": "mark-dimensions"}
SQUARES = ["0", "1", "4", "9", "16"]


class ArraysTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def frames(self, levels=("-O0", "-O1", "-O2"), source="arrays.cc", mark="mark-arrays",
               **spec):
        for compiler in COMPILERS:
            if shutil.which(compiler) is None:
                continue
            for level in levels:
                program = harness.compile_target(source, compiler, ("-g", level, "-Wno-vla"))
                with self.subTest(compiler=compiler, level=level):
                    done, snapshots = harness.run_with_file(program, [
                        {"location": {"file": source,
                                      "line": harness.line_of(source, mark)},
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

    def test_in_frames_that_are_aligned_at_run_time(self):
        for snapshot, level in self.frames(("-O0", "-O1", "-O2", "-O3", "-Os"),
                                           mark="mark-aligned"):
            frame = snapshot["frames"][0]
            squares = self.elements(frame, "squares", level)
            if squares and "children" in squares:
                self.assertEqual(squares["value"], "size=5")
                self.assertEqual([v["value"] for v in squares["children"]], SQUARES)
            grid = self.elements(frame, "grid", level)
            if grid and "children" in grid:
                self.assertEqual([v["value"] for v in grid["children"][4]["children"]],
                                 ["4", "4.1", "4.2", "4.3", "4.4", "4.5"])
            if level == "-O0":
                self.assertTrue(squares.get("children") and grid.get("children"), frame)

    def test_parameters_where_such_a_frame_begins(self):
        """Clang describes them by rbx, which is the caller's before the prologue has run."""
        line = harness.line_of("arrays.cc", "mark-begins-wide")
        for compiler in filter(shutil.which, ("g++", "clang++-14", "clang++-19")):
            with self.subTest(compiler=compiler):
                program = harness.compile_target("arrays.cc", compiler, ("-O0", "-g", "-Wno-vla"))
                _, snapshots = harness.run_with_file(
                    program, [{"location": {"file": "arrays.cc", "line": line}},
                              {"location": {"function": "shop::FillAligned"}}])
                self.assertEqual([harness.variable(snapshot["frames"][0], "n")["value"]
                                  for snapshot in snapshots], ["5", "5"])

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

    @staticmethod
    def tree(value):
        """Rows of rows as lists; scalars as their text, pointers without their address."""
        if value.get("value", "").startswith("size="):
            return [ArraysTest.tree(child) for child in value.get("children", ())]
        if "children" in value and "value" not in value:
            return {child["name"]: ArraysTest.tree(child) for child in value["children"]}
        text = value.get("value", "")
        return text[text.index('"'):] if '"' in text else text

    def test_several_dimensions(self):
        n, m, k = 2, 3, 4
        wanted = {
            "cube": [[[str(100 * i + 10 * j + l) for l in range(k)] for j in range(m)]
                     for i in range(n)],
            "wide": [[str(j) for j in range(m)], [str(7 * j) for j in range(m)]],
            "deep": [[[str(-(100 * i + 10 * j + l)) for l in range(k)] for j in range(3)]
                     for i in range(n)],
            "words": ['"one"', '"two"'],
        }
        shown = {}
        for snapshot, level in self.frames(**DIMENSIONS, capture={"depth": 5}):
            frame = snapshot["frames"][0]
            for name, values in wanted.items():
                found = self.elements(frame, name, level)
                # With optimization GCC does not describe how many rows there are: no more than the
                # place is shown then, as GDB does.
                if found is None or level != "-O0" and found["value"].startswith("0x"):
                    continue
                self.assertEqual(self.tree(found), values)
                shown[name, level] = shown.get((name, level), 0) + 1
            items = self.elements(frame, "items", level)
            if items and not items["value"].startswith("0x"):
                last = self.tree(items)[1][2]
                self.assertEqual(last["count"], "12")
                if level == "-O0":
                    self.assertEqual(last["name"], '"odd"')
        compilers = sum(shutil.which(compiler) is not None for compiler in COMPILERS)
        for name in wanted:
            self.assertEqual(shown[name, "-O0"], compilers, name)
        self.assertGreater(shown.get(("wide", "-O2"), 0), 0)

    def test_rows_in_conditions_and_watches(self):
        watched = ["cube[1][2][3]", "wide[1]", "deep[1][2]", "items[1][2].count", "cube[1]",
                   "words[1]"]
        for snapshot, _ in self.frames(("-O0",), **DIMENSIONS, expressions=watched,
                                       condition="cube[1][1][1] == 111 && wide[1][2] == 14"):
            cube, wide, deep, count, slab, word = snapshot["expressions"]
            self.assertEqual(cube["value"], "123")
            self.assertEqual(self.tree(wide), ["0", "7", "14"])
            self.assertEqual(self.tree(deep), ["-120", "-121", "-122", "-123"])
            self.assertEqual(count["value"], "12")
            self.assertEqual(self.tree(slab)[2], ["120", "121", "122", "123"])
            self.assertEqual(word["value"], '"two"')

    def test_few_items_of_each_dimension(self):
        for snapshot, _ in self.frames(("-O0",), **DIMENSIONS, capture={"items": 2}):
            cube = harness.variable(snapshot["frames"][0], "cube")
            self.assertEqual(self.tree(cube)[1], [["100", "101"], ["110", "111"]])
            items = harness.variable(snapshot["frames"][0], "items")
            self.assertEqual(self.tree(items)[1][1], {"name": '"even"', "count": "11"})

    def test_parameters_of_c(self):
        """Clang does not describe how long their rows are."""
        with tempfile.TemporaryDirectory() as folder:
            for level in ("-O0", "-O1", "-O2"):
                program = pathlib.Path(folder) / ("parameters" + level)
                source = harness.TARGETS / "arrays_parameters.c"
                subprocess.run(["gcc", "-g", level, "-o", program, source], check=True)
                done, snapshots = harness.run_with_file(program, [
                    {"id": mark, "location": {"file": source.name,
                                              "line": harness.line_of(source.name, mark)},
                     "expressions": expressions}
                    for mark, expressions in (("mark-row", ["table[1][2]", "table[1]"]),
                                              ("mark-slab", ["cube[1][1][2]", "*cube"]))])
                with self.subTest(level=level):
                    by_mark = {s["tracepointId"]: s for s in snapshots}
                    self.assertEqual(set(by_mark), {"mark-row", "mark-slab"}, done.stderr)
                    row, slab = by_mark["mark-row"], by_mark["mark-slab"]
                    table = harness.variable(row["frames"][0], "table")
                    self.assertEqual(self.tree(table["children"][0]), ["1", "2", "3"])
                    self.assertEqual(row["expressions"][0]["value"], "6")
                    self.assertEqual(self.tree(row["expressions"][1]), ["4", "5", "6"])
                    cube = harness.variable(slab["frames"][0], "cube")
                    first = [["1", "2", "3"], ["4", "5", "6"]]
                    self.assertEqual(self.tree(cube["children"][0]), first)
                    self.assertEqual(slab["expressions"][0]["value"], "12")
                    self.assertEqual(self.tree(slab["expressions"][1]), first)

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
