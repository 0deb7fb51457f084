"""The shipped formatters on containers of Boost and Abseil, in all their states: against the truth that
the programs print, at every level of optimization that is used."""
import re
import unittest

import harness
from edges_test import find

EXAMPLES = sorted((harness.SOURCE / "examples" / "formatters").glob("*.json"))
ABSEIL_LIBRARIES = [f"-labsl_{name}" for name in (
    "raw_hash_set", "hash", "city", "low_level_hash", "throw_delegate", "bad_variant_access",
    "bad_optional_access", "strings", "raw_logging_internal")]
ITEMS = 64
MATRIX = (("g++", "-O0"), ("g++", "-O2"), ("clang++-14", "-O0"), ("clang++-14", "-O2"))


class ContainersTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def snapshots(self, source, compiler, level, marks, libraries, args=(), **more):
        program = harness.compile_target(source, compiler, ("-g", level), ("-w", *libraries))
        return harness.run_with_file(program, [
            {"id": mark, "location": {"file": source, "line": harness.line_of(source, mark)},
             "capture": {"depth": 5, "items": ITEMS}, **more} for mark in marks],
            env={"STILLFRAME_LIMITS": "snapshotsPerSecond=0,cpuPercent=0",
                 "STILLFRAME_FORMATTERS": ":".join(map(str, EXAMPLES))}, args=args)

    def frames(self, source, compiler, level, marks, libraries):
        done, snapshots = self.snapshots(source, compiler, level, marks, libraries)
        frames = {s["tracepointId"]: s["frames"][0] for s in snapshots}
        self.assertEqual(set(frames), set(marks), done.stderr)
        return done, frames

    def compare(self, source, marks, libraries, at_least):
        for compiler, level in MATRIX:
            with self.subTest(compiler=compiler, level=level):
                done, frames = self.frames(source, compiler, level, marks, libraries)
                sections = done.stdout.split("\n\n")
                self.assertEqual(len(sections), len(marks))
                compared = 0
                for mark, section in zip(marks, sections):
                    for line in filter(None, section.split("\n")):
                        name, wanted = re.fullmatch(
                            r"(\w+(?:\.\w+|\.\[.*?\](?= |\.))*) (.*)", line).groups()
                        root = harness.variable(frames[mark], name.split(".")[0])
                        self.assertIsNotNone(root, name)
                        if level != "-O0" and root["status"] == "UNAVAILABLE":
                            continue
                        self.assertIn(root["status"], ("EXACT", "RECOVERED", "TRUNCATED"), root)
                        value = find(frames[mark], name)
                        if value is None and len(root["children"]) == ITEMS:
                            continue  # which of them are shown is the container's order
                        self.assertIsNotNone(value, f"{name}: {wanted}: {root}")
                        self.assertNotIn("IMPLAUSIBLE", value.get("reason", ""))
                        pattern = ".*".join(map(re.escape, wanted.split("*")))
                        self.assertRegex(value.get("value", "(none)"), f"^{pattern}$", name)
                        compared += 1
                print(source, compiler, level, compared)
                self.assertGreater(compared, at_least)

    def damage(self, source, libraries, expected):
        for compiler, level in MATRIX:
            with self.subTest(compiler=compiler, level=level):
                done, frames = self.frames(source, compiler, level, ("mark-damage",), libraries)
                for name, reason in expected.items():
                    value = harness.variable(frames["mark-damage"], name)
                    if level != "-O0" and value["status"] == "UNAVAILABLE":
                        continue
                    self.assertEqual(value["status"], "UNREADABLE", value)
                    self.assertRegex(value["reason"], f"^IMPLAUSIBLE: {reason}$", name)
                    self.assertTrue(value["children"], f"{name}: no raw members")

    def garbage(self, source, libraries, names):
        """Every word of the objects and of what they point to is garbage: whatever is shown, it is
        shown, and the program ends as it would."""
        for compiler, level in (("g++", "-O0"), ("clang++-14", "-O0")):
            with self.subTest(compiler=compiler, level=level):
                seen = {name: set() for name in names}
                for seed in range(4):
                    done, snapshots = self.snapshots(
                        source, compiler, level, ("mark-garbage",), libraries, args=(str(seed),),
                        limits={"maxHits": 30, "perTrace": 0, "perSecond": 10000})
                    self.assertEqual(len(snapshots), 30, done.stderr)
                    for snapshot in snapshots:
                        for value in snapshot["frames"][0]["variables"]:
                            if value["name"] in seen:
                                seen[value["name"]].add(value["status"])
                print(source, compiler, level, {name: sorted(how) for name, how in seen.items()})
                for name, how in seen.items():
                    # Of a pointer there is nothing that it could contradict.
                    self.assertIn("EXACT" if name == "i" else "UNREADABLE", how, name)

    def test_damaged_abseil(self):
        again = "it has 2 elements and its size is 3"
        self.damage("abseil_containers.cc", ABSEIL_LIBRARIES, {
            "too_full": "its size is 1000 and it has 3 slots",
            "no_slots": "it has a size and no slots",
            "wild_marks": "1 control bytes at 0x8 are not mapped",
            "wild_nodes": "its slots are not mapped",
            "too_few": again,
            "overfull": "its size is 9 and there is room for 4",
            "flag": "its flag is 9",
            "index": "its index is 77 of 2 alternatives"})

    def test_damaged_boost(self):
        again = r"its node \d is one of those before"
        self.damage("boost_containers.cc", (), {
            "ring": again, "tree_ring": again, "chain_ring": again,
            "overcounted_list": "it has 1 nodes and its size is 5",
            "uncounted_tree": "its size is 0 and it has a first node",
            "overcounted": "it has 2 nodes and its size is 5",
            "wild_buckets": "13 buckets at 0x8 are not mapped",
            "too_full": "its size is 1000 and it has 30 slots",
            "overfull": "its size is 9 and there is room for 3",
            "outside": "its first element is outside of its room",
            "reversed": "its end is before its begin",
            "flag": "its flag is 9",
            "index": "its index is 77 of 2 alternatives",
            "wild_text": "38 bytes at 0x8 are not mapped"})

    def test_garbage(self):
        self.garbage("abseil_containers.cc", ABSEIL_LIBRARIES, "abcdef")
        self.garbage("boost_containers.cc", (), "abcdefghi")

    def test_secrets_stay_hidden(self):
        for source, maps, texts in (
                ("abseil_containers.cc", ("flat", "nodes"), ("letters",)),
                ("boost_containers.cc", ("tree", "sorted", "table", "flat"), ("in_place", "on_heap"))):
            libraries = ABSEIL_LIBRARIES if "abseil" in source else ()
            for compiler in ("g++", "clang++-14"):
                with self.subTest(source=source, compiler=compiler):
                    _, frames = self.frames(source, compiler, "-O0", ("mark-secrets",), libraries)
                    frame = frames["mark-secrets"]
                    for name in maps:
                        children = {c["name"]: c for c in harness.variable(frame, name)["children"]}
                        self.assertEqual(children['["password"]']["status"], "REDACTED")
                        self.assertEqual(children['["user"]']["value"], '"ann"')
                    for name in texts:
                        self.assertEqual(harness.variable(frame, name)["status"], "REDACTED")
                    self.assertEqual(harness.variable(frame, "cards")["children"][0]["status"],
                                     "REDACTED")
                    self.assertNotIn("hunter2", str(frame))
                    self.assertNotIn("41111111", str(frame))

    def test_expressions(self):
        """Conditions and expressions know the containers that a formatter describes."""
        wanted = {
            "abseil_containers.cc": {
                "mark-tables": ("many_map.size() == 1000", {
                    "many_map.size()": "1000", "empty_nodes.empty()": "true", "text_set.size()": "2"}),
                "mark-rows": ("heap_row.size() > 99", {
                    "heap_row.size()": "100", "full_row.size()": "4", "fixed[1]": "7",
                    'view == "view"': "true", "*number": "0", "no_text.has_value()": "false",
                    "second.index()": "1", "any(span, x -> x == 2)": "true"})},
            "boost_containers.cc": {
                "mark-nodes": ("any(many_list, x -> x == 42)", {
                    "many_list.size()": "300", "count(text_list, t -> t.size() > 5)": "1",
                    "many_tree.size()": "300", "empty_tree.empty()": "true"}),
                "mark-tables": ("one_map.size() == 1", {
                    "one_map.size()": "1", "many_flat.size()": "1000", "sorted.size()": "3"}),
                "mark-rows": ("wrapped_ring.size() == 4", {
                    "wrapped_ring.size()": "4", "full_static.size()": "5", "three[2]": "3",
                    "shared->id": "6", "!no_shared": "true", "*number": "0", "shared.px->id": "6",
                    "first.index()": "0"})}}
        for source, marks in wanted.items():
            program = harness.compile_target(source, "g++", ("-g", "-O0"), (
                "-w", *(ABSEIL_LIBRARIES if "abseil" in source else ())))
            done, snapshots = harness.run_with_file(program, [
                {"id": mark, "location": {"file": source, "line": harness.line_of(source, mark)},
                 "condition": condition, "expressions": list(values)}
                for mark, (condition, values) in marks.items()],
                env={"STILLFRAME_LIMITS": "snapshotsPerSecond=0,cpuPercent=0",
                     "STILLFRAME_FORMATTERS": ":".join(map(str, EXAMPLES))})
            self.assertEqual(len(snapshots), len(marks), done.stderr)
            for snapshot in snapshots:
                got = {e["text"]: e.get("value") for e in snapshot["expressions"]}
                self.assertEqual(got, marks[snapshot["tracepointId"]][1])

    def test_abseil(self):
        self.compare("abseil_containers.cc", ("mark-tables", "mark-rows"), ABSEIL_LIBRARIES, 540)

    def test_boost(self):
        self.compare("boost_containers.cc", ("mark-nodes", "mark-tables", "mark-rows"), (), 700)


if __name__ == "__main__":
    unittest.main(verbosity=2)
