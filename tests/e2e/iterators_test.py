"""Iterators of the libraries' containers at every position, against what the program prints that they
show; and against GDB's printers of libstdc++ where those know better than garbage.
"""
import re
import unittest

import harness
from types_test import MATRIX, libcxx_flags

MARKS = ("mark-arrays", "mark-nodes", "mark-hashes")
STEPS = 10
# With 300 bytes an element of it is of no interest.
ELEMENT_MEMBERS = {"big": "id", "big_back": "id"}


def shown(value):
    """The text of an iterator's element, or why there is none; pairs as "first,second"."""
    member = ELEMENT_MEMBERS.get(value["name"])
    children = {c["name"]: c.get("value") for c in value.get("children", [])}
    if "value" in value:
        return value["value"]
    if member:
        return children.get(member)
    if {"first", "second"} <= set(children):
        return f'{children["first"]},{children["second"]}'
    return None


class IteratorsTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def programs(self):
        for compiler, level, more in MATRIX:
            yield compiler, level, more, ()
        flags = libcxx_flags()
        for level, more in (("-O0", ()), ("-O2", ()), ("-O0", ("-gsimple-template-names",))):
            if flags:
                yield "clang++-19", level, more, flags

    def run_program(self, program, marks, **more):
        line = {mark: harness.line_of("iterators.cc", mark) for mark in marks}
        return harness.run_with_file(program, [
            {"id": mark, "location": {"file": "iterators.cc", "line": line[mark]},
             "limits": {"maxHits": STEPS + 1, "perSecond": 1000, "perTrace": 0}, **more}
            for mark in marks], env={"STILLFRAME_LIMITS": "snapshotsPerSecond=0,cpuPercent=0"})

    def test_every_position(self):
        for compiler, level, more, library in self.programs():
            with self.subTest(compiler=compiler, level=level, more=more, libcxx=bool(library)):
                program = harness.compile_target("iterators.cc", compiler, ("-g", level, *more),
                                                 (*library, "-w"))
                done, snapshots = self.run_program(program, MARKS)
                truth = {}
                for step, name, text in re.findall(r"^(\d+) (\w+) (.*)$", done.stdout, re.M):
                    truth.setdefault((int(step), name), text)
                self.assertEqual(len(truth), STEPS * 45)
                compared = 0
                steps = dict.fromkeys(MARKS, 0)
                for snapshot in snapshots:
                    step = steps[snapshot["tracepointId"]]  # the n-th hit of a line
                    steps[snapshot["tracepointId"]] += 1
                    for value in snapshot["frames"][0]["variables"]:
                        wanted = truth.get((step, value["name"]))
                        if wanted is None:
                            continue
                        if level != "-O0" and value["status"] == "UNAVAILABLE":
                            self.assertTrue(value["reason"])
                            continue
                        compared += self.check(value, wanted, level)
                self.assertEqual(steps, dict.fromkeys(MARKS, STEPS))
                self.assertGreaterEqual(compared, STEPS * (45 if level == "-O0" else 30))

    def check(self, value, wanted, level):
        """At -O2 a container may be gone; then its iterators are pointers. 1 when it was compared."""
        text = shown(value)
        if level != "-O0" and re.match("0x[0-9a-f]+", text or ""):
            children = [c for c in value.get("children", []) if c["name"][0] == "*"]
            if "(" not in wanted and children and "value" in children[0]:
                self.assertEqual(children[0]["value"], wanted, value)
            return 0
        self.assertEqual(text, wanted, value)
        self.assertIn(value["status"], ("EXACT", "RECOVERED", "TRUNCATED")
                      if "big" in value["name"] else ("EXACT", "RECOVERED"), value)
        return 1

    def test_without_the_container(self):
        """Where an array or a list ends is not known: such an iterator is a pointer. Trees and hash
        tables know their elements."""
        for compiler, level, more, library in self.programs():
            with self.subTest(compiler=compiler, level=level, more=more, libcxx=bool(library)):
                program = harness.compile_target("iterators.cc", compiler, ("-g", level, *more),
                                                 (*library, "-w"))
                done, snapshots = self.run_program(program, ("mark-alone",),
                                                   capture={"localFrames": 1})
                truth = dict(re.findall(r"^alone (\w+) (.*)$", done.stdout, re.M))
                (snapshot,) = snapshots
                frame = snapshot["frames"][0]
                values = {v["name"]: v for v in frame["variables"]}
                for name in ("first", "listed"):
                    value = values[name]
                    if level != "-O0" and "value" not in value:
                        continue
                    self.assertRegex(value["value"], r"^0x[0-9a-f]+$")
                    (child,) = value["children"]
                    self.assertEqual((child["name"], child["value"]), ("*" + name, truth[name]))
                for name in ("mapped", "hashed"):
                    if level == "-O0" or values[name]["status"] != "UNAVAILABLE":
                        self.assertEqual(shown(values[name]), truth[name])
                for name, text in (("last", r"^0x[0-9a-f]+$"), ("map_end", r"^end\(\)$")):
                    if level == "-O0" or values[name]["status"] != "UNAVAILABLE":
                        self.assertRegex(values[name]["value"], text)

    def test_damaged_iterators(self):
        for compiler, level, more, library in self.programs():
            if level != "-O0":
                continue
            with self.subTest(compiler=compiler, more=more, libcxx=bool(library)):
                program = harness.compile_target("iterators.cc", compiler, ("-g", level, *more),
                                                 (*library, "-w"))
                _, (snapshot,) = self.run_program(program, ("mark-damaged",))
                values = {v["name"]: v for v in snapshot["frames"][0]["variables"]}
                # libc++'s has a copy of no use in front, which is what was overwritten.
                if library:
                    values.pop("reversed")
                for name, reason in (("mapped", "its node at 0x[0-9a-f]+ is in no tree"),
                                     ("reversed", "its node at 0x10 is in no tree"),
                                     ("queued", "it is outside of its block")):
                    if name not in values:
                        continue
                    self.assertEqual(values[name]["status"], "UNREADABLE", values[name])
                    self.assertRegex(values[name]["reason"], "^IMPLAUSIBLE: " + reason)
                    self.assertTrue(values[name]["children"], "no raw members")
                for name in ("listed", "at"):
                    value = values[name]
                    self.assertRegex(value["value"], "^0x[0-9a-f]+$")
                    (child,) = value["children"]
                    self.assertEqual(child["status"], "UNREADABLE", value)

    def test_expressions(self):
        """What `*` and `->` of an iterator name."""
        program = harness.compile_target("iterators.cc", "g++", ("-g", "-O0"), ("-w",))
        line = {m: harness.line_of("iterators.cc", m) for m in MARKS}
        wanted = {"mark-arrays": {"*number": "22", "*back": "66", "word->size()": "56",
                                  "*letter": "99 'c'"},
                  "mark-nodes": {"*queued": "14", "listed->size()": "56", "*listed_back == \"zero++\"":
                                 "true", "mapped->first": "305", "*chained": "6"},
                  "mark-hashes": {"hash_mapped->second >= 0": "true"}}
        done, snapshots = harness.run_with_file(program, [
            {"id": mark, "location": {"file": "iterators.cc", "line": line[mark]},
             "condition": "step == 2", "expressions": list(wanted[mark])} for mark in MARKS])
        self.assertEqual(len(snapshots), 3, done.stderr)
        truth = dict(re.findall(r"^2 (\w+) (.*)$", done.stdout, re.M))
        self.assertEqual((truth["number"], truth["queued"]), ("22", "14"))
        for snapshot in snapshots:
            got = {e["text"]: e.get("value") for e in snapshot["expressions"]}
            self.assertEqual(got, wanted[snapshot["tracepointId"]])

    def test_expressions_at_every_position(self):
        """`*` of reversed iterators and of bits, wherever the program says that there is an element."""
        names = {"mark-arrays": ("bit", "bit_back", "bit_end", "back", "word_back"),
                 "mark-nodes": ("queued_back", "queued_front", "listed_back", "key_back", "single_back",
                                "mapped_back", "many_back")}
        for compiler, level, more, library in self.programs():
            if level != "-O0" or more:
                continue
            with self.subTest(compiler=compiler, libcxx=bool(library)):
                program = harness.compile_target("iterators.cc", compiler, ("-g", level),
                                                 (*library, "-w"))
                compared = 0
                for mark, of_mark in names.items():
                    texts = {f"{n}->first" if n in ("mapped_back", "many_back") else f"*{n}": n
                             for n in of_mark}
                    done, snapshots = self.run_program(program, (mark,), expressions=list(texts))
                    self.assertEqual(len(snapshots), STEPS, done.stderr)
                    truth = {}
                    for step, name, text in re.findall(r"^(\d+) (\w+) (.*)$", done.stdout, re.M):
                        truth.setdefault((int(step), name), text)
                    for step, snapshot in enumerate(snapshots):
                        for told in snapshot["expressions"]:
                            name = texts[told["text"]]
                            wanted = truth[step, name]
                            if wanted in ("end()", "rend()"):
                                continue
                            if "first" in told["text"]:
                                wanted = re.match(r'"[^"]*"|[^,]*', wanted).group()
                            self.assertEqual(told.get("value"), wanted, (step, told))
                            compared += 1
                print(compiler, "libc++" if library else "", compared)
                self.assertGreater(compared, 60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
