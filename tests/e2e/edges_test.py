"""Library types full, empty and at the edge of their layouts, and damaged ones, with both libraries:
against the truth that the program prints ("*" in it stands for anything)."""
import re
import unittest

import harness
from types_test import MATRIX, libcxx_flags

MARKS = ("mark-words", "mark-sequences", "mark-associations", "mark-wrappers", "mark-times",
         "mark-locks")


def programs():
    for compiler, level, more in MATRIX:
        yield compiler, level, more, ()
    flags = libcxx_flags()
    for level in ("-O0", "-O2"):
        if flags:
            yield "clang++-19", level, (), flags
    if flags:
        yield "clang++-19", "-O0", ("-fstandalone-debug",), flags


def find(frame, path):
    """The value at "a.b.[1]", or None; what bases hold is looked for as well."""
    def child(value, name):
        for c in value.get("children", []):
            if c["name"] == name:
                return c
        bases = (c for c in value.get("children", []) if c["name"].startswith("<"))
        return next(filter(None, (child(base, name) for base in bases)), None)

    root, *parts = re.split(r"\.(?![^\[]*\])", path)
    value = harness.variable(frame, root)
    for part in parts:
        value = value and child(value, part)
    return value


class EdgesTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def snapshots(self, program, marks, **more):
        done, snapshots = harness.run_with_file(program, [
            {"id": mark, "location": {"file": "edges.cc", "line": harness.line_of("edges.cc", mark)},
             "capture": {"depth": 5}, **more} for mark in marks],
            env={"STILLFRAME_LIMITS": "snapshotsPerSecond=0,cpuPercent=0"})
        return done, snapshots

    def test_truth(self):
        for compiler, level, more, library in programs():
            with self.subTest(compiler=compiler, level=level, more=more, libcxx=bool(library)):
                program = harness.compile_target("edges.cc", compiler, ("-g", level, *more),
                                                 (*library, "-w"))
                done, snapshots = self.snapshots(program, MARKS)
                frames = {s["tracepointId"]: s["frames"][0] for s in snapshots}
                self.assertEqual(set(frames), set(MARKS), done.stderr)
                # An empty line begins what is true at the next mark.
                sections = done.stdout.split("\n\n")
                self.assertEqual(len(sections), len(MARKS) + 1)  # and of damage there is no truth
                sections[0] = sections[0].lstrip("\n")
                compared = 0
                for mark, section in zip(MARKS, sections):
                    for line in filter(None, section.split("\n")):
                        name, _, wanted = line.partition(" ")
                        value = find(frames[mark], name)
                        if level != "-O0" and (value is None or "value" not in value):
                            continue
                        self.assertIsNotNone(value, f"{name}: {wanted}")
                        pattern = ".*".join(map(re.escape, wanted.split("*")))
                        self.assertRegex(value.get("value", "(none)"), f"^{pattern}$", value)
                        self.assertIn(value["status"], ("EXACT", "RECOVERED", "TRUNCATED"), value)
                        compared += 1
                print(compiler, level, *more, "libc++" if library else "", compared)
                self.assertGreater(compared, 155 if level == "-O0" else 120)

    def test_damage(self):
        again = r"IMPLAUSIBLE: its node \d+ is one of those before"
        expected = {
            "reversed": "IMPLAUSIBLE: its end is before its begin",
            "endless": r"IMPLAUSIBLE: 274877906944 elements at 0x[0-9a-f]+ are not mapped",
            "uneven": "IMPLAUSIBLE: its end is inside an element",
            "ring": again, "chain_ring": again, "hash_ring": again,
            "overcounted": "IMPLAUSIBLE: it has 1 nodes and its size is 5",
            "wild_span": "IMPLAUSIBLE: 1000 elements at 0x8 are not mapped",
            "wild_bits": "IMPLAUSIBLE: .*",
            "flag": "IMPLAUSIBLE: its flag is 9",
            "index": "IMPLAUSIBLE: its index is 77 of 2 alternatives",
        }
        for compiler, level, more, library in programs():
            if level != "-O0":
                continue
            with self.subTest(compiler=compiler, more=more, libcxx=bool(library)):
                program = harness.compile_target("edges.cc", compiler, ("-g", level, *more),
                                                 (*library, "-w"))
                _, (snapshot,) = self.snapshots(program, ("mark-damage",))
                for name, reason in expected.items():
                    value = harness.variable(snapshot["frames"][0], name)
                    self.assertEqual(value["status"], "UNREADABLE", value)
                    self.assertRegex(value["reason"], f"^{reason}$")
                    self.assertTrue(value["children"], f"{name}: no raw members")

    def test_texts_that_memory_ends_and_that_the_limit_ends(self):
        program = harness.compile_target("texts.cc", "g++", ("-g", "-O0"),
                                         (f"-I{harness.SOURCE / 'include'}",))
        line = harness.line_of("texts.cc", "mark-text")
        done, (snapshot,) = harness.run_with_file(
            program, [{"id": "text", "location": {"file": "texts.cc", "line": line}}])
        self.assertEqual(done.stdout, "done\n")
        for name, text, status, reason in (
                ("at_page_end", '"edge"', "EXACT", None),
                ("unending", '"uuuuuuuu"...', "TRUNCATED", "UNREADABLE"),
                ("large", f'"{"x" * 255}"...', "TRUNCATED", "LIMIT"),
                ("wild", "0x10", "UNREADABLE", "UNREADABLE")):
            value = harness.variable(snapshot["frames"][0], "message." + name)
            self.assertTrue(value["value"].endswith(text), value)
            self.assertEqual((value["status"], value.get("reason")), (status, reason), value)


if __name__ == "__main__":
    unittest.main(verbosity=2)
