"""Library types and objects of every kind, against the values that the program is known to hold.

At -O0 every value must be there and right; at -O2 what is there must be right. Where the printers
that libstdc++ ships for GDB know a container, its leaves are compared with theirs, too.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

# Unpacked by tools/libcxx, or installed.
LIBCXX = next((p for p in (harness.SOURCE / "build/libcxx-19/usr/lib/llvm-19",
                           pathlib.Path("/usr/lib/llvm-19"))
               if (p / "include/c++/v1/vector").exists()), None)
MATRIX = [(c, o, ()) for c in ("g++", "clang++-14", "clang++-19") for o in ("-O0", "-O2")
          if shutil.which(c)]
MATRIX += [("clang++-14", "-O0", ("-gsimple-template-names",)),
           ("clang++-19", "-O0", ("-gsimple-template-names",)),
           ("g++", "-O0", ("-fdebug-types-section",)),
           ("g++", "-O2", ("-gdwarf-4",))]
MATRIX = [m for m in MATRIX if shutil.which(m[0])]


def libcxx_flags():
    """Flags that compile with libc++, or None where it is not installed."""
    if not shutil.which("clang++-19") or LIBCXX is None:
        return None
    headers = LIBCXX / "include" / "c++" / "v1"
    library = LIBCXX / "lib"
    return ("-nostdinc++", "-isystem", str(headers), "-nostdlib++",
            str(library / "libc++.a"), str(library / "libc++abi.a"))


SEQUENCES = {
    "bits": "size=75", "bits.[0]": "true", "bits.[1]": "false", "bits.[72]": "true",
    "bits.[74]": "false", "no_bits": "size=0", "queue": "size=173", "queue.[0]": "-2",
    "queue.[2]": "0", "queue.[3]": "130", "queue.[99]": "226", "items": "size=2",
    "items.[0].name": '"one"', "items.[1].name": '"a name that is too long for the short form"',
    "no_queue": "size=0", "forward": "size=3", "forward.[0]": "3", "forward.[2]": "4",
    "no_forward": "size=0", "list": "size=2", "list.[0]": '"alpha"', "list.[1]": '"beta"',
    "vector": "size=2", "vector.[1].id": "8", "vector.[1].name": '"eight"', "array": "size=3",
    "array.[1]": "-2", "bitset": "0b1" + "0" * 65 + "1001", "small_bitset": "0b10110",
    "span": "size=4", "span.[3]": "40", "fixed_span": "size=4", "fixed_span.[0]": "10",
    "initial": "size=2", "initial.[1]": "1.5", "fifo": "size=2", "fifo.[1]": "6",
    "lifo": "size=1", "lifo.[0]": "9", "heap": "size=2", "heap.[0]": "11",
}
ASSOCIATIONS = {
    "map": "size=3", "map.[1]": '"one"', "map.[3]": '"three"', "multimap": "size=2",
    'multimap.["a"]': "1", "set": "size=2", "set.[0]": "97 'a'", "set.[1]": "120 'x'",
    "ints": "size=9", "ints.[0]": "1", "ints.[8]": "9", "multiset": "size=3", "multiset.[0]": "2",
    "multiset.[2]": "4", "unordered": "size=1", 'unordered.["k"].id': "1",
    'unordered.["k"].name': '"first"', "unordered_set.[0]": "42", "unordered_multi.[1]": "2",
    "no_map": "size=0", "no_unordered": "size=0",
}
WORDS = {
    "brief": '"short"', "lengthy": '"a text that is too long for the short form of any library"',
    "nothing": '""', "wide": 'L"w\u00e9"', "utf16": 'u"sixteen"', "utf32": 'U"thirty-two"',
    "utf8": 'u8"eight"', "view": '"text that is too long for the short form of any library"',
    "path": '"/var/log/app.log"',
}
WRAPPERS = {
    "any_int": "holds int", "any_int.value": "42", "any_text": "holds std::string",
    "any_text.value": '"held by any, and long enough to be on the heap"', "no_any": "no value",
    "pointer_function": re.compile(r"0x[0-9a-f]+ <shop::Twice\(int\)>"),
    "closure_function": re.compile(r"shop::Wrappers\(\)::(\{lambda\(int\)#1\}|\$_0)"),
    "no_function": "empty", "atomic_int": "7", "atomic_flag": "true", "atomic_double": "2.5",
    "atomic_pointer": re.compile(r'0x[0-9a-f]+ .*"text"'), "complex": "1.5 + -2i",
    "reference.*reference": "3", "item.id": "4", "item.name": '"four"', "nothing": "std::nullopt",
    "empty_inside": "holds std::optional", "empty_inside.value": "std::nullopt",
    "variant": "index=1", "variant.[1]": '"alternative"', "tuple.[0]": "1", "tuple.[1]": '"two"',
    "tuple.[2]": "51 '3'", "pair.second": "0.25", "unique.name": '"five"', "no_unique": "0x0",
    "shared": re.compile(r"0x[0-9a-f]+ \(use=2, weak=1\)"), "shared.name": '"six"',
    "weak": re.compile(r"0x[0-9a-f]+ \(use=2, weak=1\)"), "weak.id": "6",
    "error": re.compile(r"0x[0-9a-f]+ \(std::out_of_range\)"), "no_error": "0x0",
}
TIMES = {
    "seconds_double": "1.5s", "millis": "250ms", "millis.count": "250", "many_millis": "1.5s",
    "many_millis.count": "1500", "nanos": "1.23456789s", "hour": "36h", "ticks": "42[1/60]s",
    "negative": "-1.5ms", "when": "2026-01-02T03:04:05.678Z", "when.count": "1767323045678",
    "exact": "2026-01-02T03:04:05.678901234Z", "steady": "5.5s",
}
DYNAMIC = {
    "reference": "(shop::Circle &)", "reference.radius": "2.5",
    "reference.label": '"a circle with a label that is on the heap"',
    "pointer": re.compile(r"0x[0-9a-f]+ \(shop::BigSquare \*\)"), "pointer.extra": "77",
    "pointer.<shop::Square>.edge": "4",
    "second": re.compile(r"0x[0-9a-f]+ \(shop::Product \*\)"), "second.sku": '"sku-9"',
    "virtual_base": re.compile(r"0x[0-9a-f]+ \(shop::Document \*\)"), "virtual_base.pages": "3",
    "middle.<shop::Named>.<shop::Entity>.id": "11",
    "document.<shop::Named>.<shop::Entity>.id": "11",
    "document.<shop::Dated>.<shop::Entity>.id": "11", "document.<shop::Dated>.year": "2026",
    "owner.sku": '"sku-9"', "all.[0].radius": "2.5", "all.[1].edge": "4", "all.[2].sides": "0",
    "lonely.value": "1",
}
SCALARS = {
    "bits.low": "5", "bits.middle": "-3", "bits.wide": "1099511627775", "bits.flag": "true",
    "anonymous.number": "65537", "anonymous.second": "1", "both": "shop::kRead | shop::kExecute",
    "none": "shop::kNone", "unknown": "9", "level": "shop::Level::kHigh",
    "huge": "-1000000000000000000000", "unsigned_huge": str(1 << 100), "extended": "0.1",
    "c8": "120 u8'x'", "c16": "233 u'\u00e9'", "c32": "128512 U'\U0001F600'", "wide": "119 L'w'",
    "grid.[1].[2]": "6", "function": re.compile(r"0x[0-9a-f]+ <shop::Twice\(int\)>"),
    "method": re.compile(r"0x[0-9a-f]+ <shop::Counter::Add\(int\)>"),
    "virtual_method": "&virtual shop::Counter::Virtual(int)", "field": "&shop::Counter::other",
    "no_field": "NULL", "no_method": "NULL", "half": "1.5", "null": "0x0",
    "function_reference": re.compile(r"0x[0-9a-f]+ <shop::Twice\(int\)>"),
    "second_method": "&virtual shop::Base::Second(double)",
    "inherited_field": "&shop::Base::inherited", "null_free": "&shop::Counter::total",
    "wide_text": re.compile(r'0x[0-9a-f]+ (<.*> )?L"w\u00e9\\n\U0001F600"$'),
    "text16": re.compile(r'0x[0-9a-f]+ (<.*> )?u"sixteen"$'),
    "text32": re.compile(r'0x[0-9a-f]+ (<.*> )?U"thirty-two \\x2028"$'),
    "text8": re.compile(r'0x[0-9a-f]+ (<.*> )?u8"eight"$'), "no_text": "0x0",
    "wide_array": 'L"w\u00e9"', "array16": 'u"abc"', "array8": 'u8"abc"',
    "local": "Local::kOne", "local_flags": "kLocalRead | kLocalWrite",
    "flexible.count": "2", "flexible.data": re.compile(r"0x[0-9a-f]+$"),
    "control": re.compile(r'0x[0-9a-f]+ (<.*> )?"\\302\\205\\342\\200\\250"$'),
}


# Some of the objects are there to be looked at only.
NO_WARNINGS = ("-w",)


def our_leaves(value, out, map_entries=False):
    """The texts of the leaves below a value, in order; of maps the keys, too."""
    children = value.get("children", [])
    is_map = re.match(r"std::(unordered_)?(multi)?map<", value["type"]) is not None
    if map_entries:
        out.append(value["name"][1:-1])
    if not children and "value" in value and not value["value"].startswith("size=0"):
        out.append(value["value"])
    for child in children:
        our_leaves(child, out, is_map)
    return out


def same_leaf(ours, gdb):
    # GDB names the address of an empty string and leaves the prefix of char8_t out.
    gdb = re.sub(r'^0x[0-9a-f]+ ""$', '""', gdb)
    ours = re.sub(r'^u8"', '"', ours)
    if ours == gdb or gdb in {"true": ("1", "True"), "false": ("0", "False")}.get(ours, ()):
        return True
    try:
        return float(ours) == float(gdb)
    except ValueError:
        return False


class TypesTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def snapshots(self, program, source, marks, **capture):
        wanted = [{"id": mark, "location": {"file": source, "line": harness.line_of(source, mark)},
                   "capture": {"depth": 5, **capture}} for mark in marks]
        done, snapshots = harness.run_with_file(program, wanted)
        got = {s["tracepointId"]: s for s in snapshots}
        self.assertEqual(set(got), set(marks), done.stderr)
        return done.stdout, got

    def expect(self, frame, values, complete):
        checked = 0
        for name, wanted in values.items():
            root = name.split(".")[0]
            found = harness.variable(frame, root)
            self.assertIsNotNone(found, root)
            if found["status"] == "UNAVAILABLE" and not complete:
                self.assertTrue(found.get("reason"), root)
                continue
            for part in re.findall(r'\["[^"]*"\]|\[\d+\]|<[^>]*>|[^.\[\]<>]+', name)[1:]:
                found = next((c for c in found.get("children", []) if c["name"] == part), None)
                self.assertIsNotNone(found, f"{name}: no {part} in {harness.variable(frame, root)}")
            if not complete and found["status"] not in ("EXACT", "RECOVERED", "TRUNCATED"):
                self.assertTrue(found.get("reason"), name)
                continue
            text = found.get("value", "")
            if isinstance(wanted, re.Pattern):
                self.assertRegex(text, wanted, name)
            else:
                self.assertEqual(text, wanted, f"{name}: {found}")
            checked += 1
        return checked

    def check_containers(self, program, level):
        complete = level == "-O0"
        out, got = self.snapshots(program, "containers.cc", (
            "mark-sequences", "mark-associations", "mark-words", "mark-wrappers", "mark-times",
            "mark-locks"))
        checked = 0
        for mark, values in (("mark-sequences", SEQUENCES), ("mark-associations", ASSOCIATIONS),
                             ("mark-words", WORDS), ("mark-wrappers", WRAPPERS),
                             ("mark-times", TIMES)):
            checked += self.expect(got[mark]["frames"][0], values, complete)
        tid = re.search(r"tid (\d+)", out).group(1)
        checked += self.expect(got["mark-locks"]["frames"][0], {
            "free_mutex": "unlocked", "mutex": f"locked by thread {tid}",
            "recursive": f"locked by thread {tid}, 2 times"}, complete)
        # The objects are in memory at every level: their addresses are taken.
        self.assertGreater(checked, 100)

    def test_containers(self):
        for compiler, level, more in MATRIX:
            with self.subTest(compiler=compiler, level=level, more=more):
                program = harness.compile_target("containers.cc", compiler, ("-g", level, *more), NO_WARNINGS)
                self.check_containers(program, level)

    def test_containers_of_libcxx(self):
        flags = libcxx_flags()
        if flags is None:
            self.skipTest("no libc++ 19 (see tools/libcxx)")
        for level, more in (("-O0", ()), ("-O2", ()),
                            ("-O0", ("-gsimple-template-names",))):
            with self.subTest(level=level, more=more):
                program = harness.compile_target("containers.cc", "clang++-19",
                                                 ("-g", level, *more), flags + NO_WARNINGS)
                self.check_containers(program, level)

    def test_objects(self):
        for compiler, level, more in MATRIX:
            with self.subTest(compiler=compiler, level=level, more=more):
                program = harness.compile_target("objects.cc", compiler, ("-g", level, *more), NO_WARNINGS)
                _, got = self.snapshots(program, "objects.cc", ("mark-dynamic", "mark-scalars"))
                complete = level == "-O0"
                self.expect(got["mark-dynamic"]["frames"][0], DYNAMIC, complete)
                self.expect(got["mark-scalars"]["frames"][0], SCALARS, complete)

    def test_exceptions(self):
        """Classes of the library whose debug information is not there: by their known layout, and
        what they really are by the symbol of their vtable."""
        line = harness.line_of("exceptions.cc", "mark-handler")
        text = lambda words: re.compile(f'0x[0-9a-f]+ "{words}"$')
        expected = [
            {"error": "(std::out_of_range &)", "error.what()": text("the twelfth of ten")},
            {"error": "(shop::NoStock &)", "error.missing": "3",
             "error.<std::runtime_error>.what()": text("bread")},
            {"error": "(shop::Closed &)", "error.day": "7"},
            {"error": "(std::bad_alloc &)"},
            {"error": "(std::system_error &)", "error.what()": text("disk: Input/output error")},
            {"error": "(std::exception &)"}]
        for compiler, level, more in MATRIX:
            with self.subTest(compiler=compiler, level=level, more=more):
                program = harness.compile_target("exceptions.cc", compiler, ("-g", level, *more), NO_WARNINGS)
                done, snapshots = harness.run_with_file(program, [
                    {"location": {"file": "exceptions.cc", "line": line}, "id": "handler",
                     "limits": {"maxHits": 6, "perSecond": 1000}},
                    {"location": {"file": "exceptions.cc",
                                  "line": harness.line_of("exceptions.cc", "mark-locals")}}])
                self.assertEqual(done.stdout, "27\n")
                handled = [s for s in snapshots if s["tracepointId"] == "handler"]
                self.assertEqual(len(handled), 6)
                complete = level == "-O0"
                for snapshot, values in zip(handled, expected):
                    frame = snapshot["frames"][0]
                    self.expect(frame, values, complete)
                    pointee = values["error"].replace(" &)", " *)")
                    pointer = harness.variable(frame, "pointer")
                    if complete or "value" in pointer:
                        self.assertIn(pointee, pointer["value"])
                    for known in (pointer, harness.variable(frame, "error")):
                        has_text = any(c["name"] == "what()" for c in known.get("children", []))
                        self.assertEqual(has_text, "error.what()" in values and "value" in known)
                frame = next(s for s in snapshots if s not in handled)["frames"][0]
                self.expect(frame, {
                    "argument.what()": text("an argument that is no number"),
                    "reference.what()": text("an argument that is no number"),
                    "report.code": "12", "report.error.what()": text("the range of the report"),
                }, complete)

    def gdb_leaves(self, program, source, lines):
        with tempfile.TemporaryDirectory() as folder:
            out = os.path.join(folder, "out.json")
            env = dict(os.environ, SF_SOURCE=source, SF_OUT=out,
                       SF_LINES=",".join(str(line) for line in lines))
            done = subprocess.run(
                ["gdb", "-nx", "-batch", "-x", str(harness.SOURCE / "tests/e2e/gdb_containers.py"),
                 str(program)], env=env, capture_output=True, text=True, timeout=180)
            self.assertTrue(os.path.exists(out), done.stderr[-2000:])
            return json.loads(pathlib.Path(out).read_text())

    def test_containers_agree_with_gdb(self):
        marks = ("mark-sequences", "mark-associations", "mark-words")
        # GDB has no printer for these, or prints another thing: see the tables above.
        other = {"bitset", "small_bitset", "span", "fixed_span", "initial", "path"}
        for compiler in ("g++", "clang++-14"):
            with self.subTest(compiler=compiler):
                program = harness.compile_target("containers.cc", compiler, ("-g", "-O0"), NO_WARNINGS)
                _, got = self.snapshots(program, "containers.cc", marks, items=400)
                lines = {mark: harness.line_of("containers.cc", mark) for mark in marks}
                oracle = self.gdb_leaves(program, "containers.cc", lines.values())
                compared = 0
                for mark in marks:
                    theirs = oracle[str(lines[mark])]
                    for value in got[mark]["frames"][0]["variables"]:
                        if value["name"] in other:
                            continue
                        ours = our_leaves(value, [])
                        gdb = theirs[value["name"]]
                        same = len(ours) == len(gdb) and all(map(same_leaf, ours, gdb))
                        with self.subTest(variable=value["name"]):
                            self.assertTrue(same, f"{ours[:20]} / {gdb[:20]}")
                        compared += len(gdb)
                self.assertGreater(compared, 250)

    def test_folded_code_names_no_type(self):
        """A linker may leave one copy of code that was several types': it no longer tells which."""
        line = harness.line_of("folded.cc", "mark-show")
        for link in ((), ("-fuse-ld=gold", "-Wl,--icf=all"), ("-fuse-ld=lld", "-Wl,--icf=all")):
            if link and not shutil.which("ld." + link[0].split("=")[1]):
                continue
            with self.subTest(link=link):
                program = harness.compile_target(
                    "folded.cc", "g++", ("-g", "-O2", "-ffunction-sections", *link))
                _, (snapshot,) = harness.run_with_file(
                    program, [{"location": {"file": "folded.cc", "line": line}}])
                frame = snapshot["frames"][0]
                first, second = (harness.variable(frame, n)["value"] for n in ("first", "second"))
                one, other = (harness.variable(frame, n) for n in ("one", "other"))
                if not link:
                    self.assertIn("{lambda(int)#1}", first)
                    self.assertIn("{lambda(int)#2}", second)
                    self.assertIn("shop::First", json.dumps(one))
                self.assertNotIn("{lambda(int)#2}", first)
                self.assertNotIn("{lambda(int)#1}", second)
                self.assertNotIn("shop::Second", json.dumps(one))
                self.assertNotIn("shop::First", json.dumps(other))

    def test_damaged_containers_say_what_is_wrong(self):
        for compiler in ("g++", "clang++-14"):
            program = harness.compile_target("containers.cc", compiler, ("-g", "-O0"), NO_WARNINGS)
            line = harness.line_of("containers.cc", "mark-damage")
            done, snapshots = harness.run_with_file(
                program, [{"location": {"file": "containers.cc", "line": line},
                           "capture": {"depth": 6},
                           "limits": {"maxHits": 5, "perSecond": 100}}])
            self.assertEqual(len(snapshots), 5, done.stderr)
            faults = {}
            for snapshot in snapshots:
                frame = snapshot["frames"][0]
                mode = harness.variable(frame, "mode")["value"]
                for name in ("vector", "text", "map", "deque", "list"):
                    value = harness.variable(frame, name)
                    if value["status"] == "EXACT":
                        continue
                    self.assertEqual(value["status"], "UNREADABLE", value)
                    self.assertTrue(value.get("children"), f"{name}: no raw members")
                    faults[mode, name] = value["reason"]
            expected = {
                ("1", "vector"): "IMPLAUSIBLE: its end is before its begin",
                ("2", "vector"): r"IMPLAUSIBLE: 274877906944 elements at 0x[0-9a-f]+ are not mapped",
                ("3", "text"): r"IMPLAUSIBLE: its size is 9114861777597660798",
                ("3", "deque"): "IMPLAUSIBLE: an iterator is outside of its block",
                ("4", "map"): "IMPLAUSIBLE: it has 2 nodes and its size is 9",
                ("4", "list"): "IMPLAUSIBLE: it has 3 nodes and its size is 90",
            }
            self.assertEqual(set(faults), set(expected), faults)
            for key, reason in expected.items():
                self.assertRegex(faults[key], reason)


if __name__ == "__main__":
    unittest.main(verbosity=2)
