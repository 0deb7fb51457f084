"""Users' formatters: both forms of file, what they show, and what is wrong with bad ones."""
import json
import pathlib
import shutil
import tempfile
import unittest

import harness

OWN = {"formatters": [
    {"type": "shop::Ring<*>", "summary": "{count_} of {storage_.capacity_}",
     "items": {"kind": "array", "data": "storage_.data_", "size": "count_"}},
    {"type": "shop::Chain", "items": {"kind": "list", "head": "head", "next": "next",
                                      "value": "name", "size": "length"}},
    {"type": "shop::Flags", "summary": "{low}/{high} {password}",
     "children": [{"name": "upper", "path": "high"}, {"path": "password"}]},
    {"type": "shop::Tree", "items": {"kind": "tree", "first": "first", "header": "header",
                                     "size": "size", "left": "left", "right": "right",
                                     "parent": "up", "value": "value"}},
    {"type": "shop::Small", "items": [
        {"kind": "array", "when": "count_and_heap & 1", "data": "data", "size": "count_and_heap >> 1"},
        {"kind": "array", "inline": "room", "size": "count_and_heap >> 1"}]},
    {"type": "shop::Sorted", "items": {"kind": "rootedTree", "root": "root", "left": "low",
                                       "right": "high", "value": "value", "size": "size"}},
    {"type": "shop::Label", "items": {"kind": "text", "inline": "text", "size": "length"}},
]}
NATVIS = """<?xml version="1.0" encoding="utf-8"?>
<AutoVisualizer xmlns="http://schemas.microsoft.com/vstudio/debugger/natvis/2010">
  <Type Name="shop::Named">
    <DisplayString>{{{id}}} {title,s}</DisplayString>
    <Expand><Item Name="[id]">id</Item></Expand>
  </Type>
  <Type Name="shop::Small"><Expand>
    <IndexListItems Condition="(count_and_heap &amp; 1) == 0">
      <Size>count_and_heap</Size><ValueNode>room[$i]</ValueNode></IndexListItems>
    <ArrayItems Condition="data != 0"><Size>count_and_heap</Size><ValuePointer>data</ValuePointer>
    </ArrayItems></Expand></Type>
  <Type Name="shop::Sorted"><Expand><TreeItems>
    <HeadPointer>root</HeadPointer><LeftPointer>low</LeftPointer><RightPointer>high</RightPointer>
    <ValueNode>value</ValueNode></TreeItems></Expand></Type>
</AutoVisualizer>
"""


class FormattersTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-formatters-"))
        self.addCleanup(shutil.rmtree, self.folder)

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def snapshot(self, *files, compiler="g++", level="-O0"):
        program = harness.compile_target(
            "formatted.cc", compiler, ("-g", level))
        line = harness.line_of("formatted.cc", "mark-formatted")
        done, snapshots = harness.run_with_file(
            program, [{"location": {"file": "formatted.cc", "line": line},
                       "capture": {"depth": 4}}],
            env={"STILLFRAME_FORMATTERS": ":".join(str(file) for file in files)})
        self.assertEqual(len(snapshots), 1, done.stderr)
        return done.stderr, {v["name"]: v for v in snapshots[0]["frames"][0]["variables"]}

    def write(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def texts(self, value):
        return [child.get("value") for child in value.get("children", [])]

    def test_both_forms_and_the_shipped_examples(self):
        own = self.write("own.json", json.dumps(OWN))
        natvis = self.write("own.natvis", NATVIS)
        boost = harness.SOURCE / "examples" / "formatters" / "boost.json"
        for compiler in ("g++", "clang++-14"):
            with self.subTest(compiler=compiler):
                said, found = self.snapshot(own, natvis, boost, compiler=compiler)
                self.assertEqual(said, "")
                self.assertEqual(found["ring"]["value"], "3 of 5")
                self.assertEqual(self.texts(found["ring"]), ["7", "8", "9"])
                self.assertEqual(self.texts(found["chain"]), ['"first"', '"second"'])
                self.assertEqual(found["flags"]["value"], "5/17 <REDACTED>")
                self.assertEqual(found["flags"]["children"][0]["name"], "upper")
                self.assertEqual(found["flags"]["children"][0]["value"], "17")
                self.assertEqual(found["flags"]["children"][1]["status"], "REDACTED")
                self.assertEqual(self.texts(found["tree"]), ["1", "2", "3"])
                self.assertRegex(found["named"]["value"], r'^\{4\} 0x[0-9a-f]+ .*"four"$')
                self.assertEqual(found["named"]["children"][0]["name"], "[id]")
                self.assertEqual(self.texts(found["boost_vector"]), ["1", "2", "3"])
                self.assertEqual(self.texts(found["boost_small"]), ["4", "5"])
                self.assertEqual(len(found["boost_map"]["children"]), 2)
                self.assertEqual(self.texts(found["sorted"]), ["1", "5", "9"])
                self.assertEqual((found["in_place"]["value"], self.texts(found["in_place"])),
                                 ("size=2", ["4", "5"]))
                self.assertEqual((found["on_heap"]["value"], self.texts(found["on_heap"])),
                                 ("size=3", ["7", "8", "9"]))
                self.assertEqual(found["label"]["value"], '"label"')
                self.assertRegex(found["unsorted"]["reason"], "it has more nodes than its size, 2")
                self.assertRegex(found["knot"]["reason"], "its node at 0x[0-9a-f]+ is in it twice")
                # A size that cannot be: raw members and the reason, as for the library's own types.
                self.assertEqual(found["broken"]["status"], "UNREADABLE")
                self.assertRegex(found["broken"]["reason"], "60000 elements at 0x10 are not mapped")
                self.assertNotIn("hunter2", str(found))

    def test_natvis_lists_and_conditions(self):
        natvis = self.write("own.natvis", NATVIS)
        said, found = self.snapshot(natvis)
        self.assertEqual(said, "")
        self.assertEqual((found["sorted"]["value"], self.texts(found["sorted"])),
                         ("size=3", ["1", "5", "9"]))
        self.assertEqual(self.texts(found["in_place"]), ["4", "5", "0", "0"])
        self.assertEqual((found["on_heap"]["value"], self.texts(found["on_heap"])[:3]),
                         ("size=7", ["7", "8", "9"]))
        self.assertRegex(found["knot"]["reason"], "its node at 0x[0-9a-f]+ is in it twice")

    def test_the_shipped_examples_on_the_libraries_themselves(self):
        line = harness.line_of("shipped_formatters.cc", "mark-shipped")
        examples = sorted((harness.SOURCE / "examples" / "formatters").glob("*.json"))
        elements = {
            "vector": ["1", "2", "3"], "no_vector": [], "in_place": ['"in"', '"place"'],
            "on_heap": ['"a"', '"b"', '"c"'], "flat_set": ["7", "8", "9"],
            "flat_multiset": ["4", "4"], "ring": ["2", "3", "4", "5"],
            "span": ["10", "20", "30"], "part": ["10", "20"], "no_span": [], "fixed": ["7"] * 3}
        for compiler, level in (("g++", "-O0"), ("g++", "-O2"), ("clang++-14", "-O0"),
                                ("clang++-14", "-O2")):
            with self.subTest(compiler=compiler, level=level):
                program = harness.compile_target("shipped_formatters.cc", compiler, ("-g", level),
                                                 ("-w", "-labsl_throw_delegate"))
                done, snapshots = harness.run_with_file(
                    program, [{"location": {"file": "shipped_formatters.cc", "line": line},
                               "capture": {"depth": 4}}],
                    env={"STILLFRAME_FORMATTERS": ":".join(map(str, examples))})
                self.assertEqual(done.stdout, "shown\n")
                (snapshot,) = snapshots
                found = {v["name"]: v for v in snapshot["frames"][0]["variables"]}
                for name, texts in elements.items():
                    if level != "-O0" and found[name]["status"] == "UNAVAILABLE":
                        continue
                    self.assertEqual(found[name]["value"], f"size={len(texts)}", found[name])
                    self.assertEqual(self.texts(found[name]), texts, name)
                for name, pairs in (("flat_map", [('["one"]', "1"), ('["two"]', "2")]),
                                    ("flat_multimap", [("[1]", "2"), ("[1]", "3")])):
                    self.assertEqual([(c["name"], c["value"]) for c in found[name]["children"]], pairs)
                self.assertRegex(found["no_shared"]["value"], "^0x0$")
                if level == "-O0":
                    self.assertEqual(found["view"]["value"], '"view"')
                for name, id_ in (("counted", "5"), ("shared", "6"), ("scoped", "7")):
                    if level == "-O0" or "value" in found[name]:
                        counts = r" \(use=1, weak=0\)" if name == "shared" else ""
                        self.assertRegex(found[name]["value"], f"^0x[0-9a-f]+{counts}$")
                        self.assertEqual(self.texts(found[name])[0], id_)

    def test_the_shipped_examples_can_be_read(self):
        files = sorted((harness.SOURCE / "examples" / "formatters").glob("*.json"))
        self.assertGreaterEqual(len(files), 2)
        said, _ = self.snapshot(*files)
        self.assertEqual(said, "")

    def test_a_bad_file_is_one_line_and_ignored(self):
        good = self.write("own.json", json.dumps(OWN))
        natvis = NATVIS.replace("<Expand>", "<Expand><CustomListItems/>")
        condition = NATVIS.replace("<DisplayString>", '<DisplayString Condition="id==1">')
        bad = {
            "syntax.json": ("{", "not JSON"),
            "field.json": ('{"formatters": [{"type": "a", "run": "x()"}]}', "unknown field 'run'"),
            "path.json": ('{"formatters": [{"type": "a", "summary": "{f()}"}]}',
                          "'f()' is not a path of member names"),
            "kind.json": ('{"formatters": [{"type": "a", "items": {"kind": "heap"}}]}',
                          "'kind' is not array, range, text, list, tree,"),
            "syntax.natvis": ("<AutoVisualizer><Type", "not XML"),
            "element.natvis": (natvis, "'CustomListItems' is not supported"),
            "condition.natvis": (condition, "'Condition' is not supported"),
        }
        for name, (text, reason) in bad.items():
            with self.subTest(file=name):
                file = self.write(name, text)
                said, found = self.snapshot(file, good)
                self.assertEqual(len(said.splitlines()), 1, said)
                self.assertIn(str(file), said)
                self.assertIn(reason, said)
                self.assertEqual(found["ring"]["value"], "3 of 5")
        said, found = self.snapshot(self.folder / "missing.json", good)
        self.assertIn("cannot be read", said)
        self.assertEqual(found["ring"]["value"], "3 of 5")


if __name__ == "__main__":
    unittest.main(verbosity=2)
