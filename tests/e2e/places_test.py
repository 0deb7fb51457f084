"""Tracepoints on functions and addresses instead of lines."""
import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import harness

OUTPUT = "420 4 2.5 15 1.5 43 1 7 7\n"
MATRIX = [(compiler, (level, "-g", *more)) for compiler in ("g++", "clang++-14")
          for level, more in (("-O0", ()), ("-O2", ()), ("-O2", ("-fcf-protection",)))]


class PlacesTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def each(self):
        for compiler, flags in MATRIX:
            with self.subTest(compiler=compiler, flags=flags):
                yield harness.compile_target("places.cc", compiler, flags)

    def hits(self, program, function, **location):
        """[(function shown, {argument: value})] of the hits of a function, sorted."""
        done, snapshots = harness.run_with_file(
            program, [{"location": {"function": function, **location},
                       "limits": {"maxHits": 20, "perSecond": 1000}}],
            env={"STILLFRAME_LOG": "info"})
        self.assertEqual(done.stdout, OUTPUT)
        self.said = done.stderr
        found = []
        for snapshot in snapshots:
            frame = snapshot["frames"][0]
            found.append((re.sub(r"^(?:int|double) ", "", frame["function"]),
                          {v["name"]: v.get("value") for v in frame["variables"]}))
        return sorted(found, key=str)

    def test_a_member(self):
        for program in self.each():
            for name in ("shop::Cart::Total", "Cart::Total", "Total",
                         "shop::Cart::Total(int) const", "::shop::Cart::Total"):
                (function, arguments), = self.hits(program, name)
                self.assertEqual(function, "shop::Cart::Total(int) const")
                self.assertEqual(arguments["scale"], "7")
            self.assertEqual(self.hits(program, "art::Total"), [])
            self.assertIn("FUNCTION_NOT_FOUND", self.said)
            self.assertIn("near: shop::Cart::Total(int) const", self.said)

    def test_overloads_and_instances(self):
        for program in self.each():
            self.assertEqual([f for f, _ in self.hits(program, "Scale")],
                             ["shop::Scale(double)", "shop::Scale(int)"])
            (function, arguments), = self.hits(program, "shop::Scale(int)")
            self.assertEqual((function, arguments), ("shop::Scale(int)", {"by": "5"}))
            self.assertEqual(self.hits(program, "Max"), [
                ("shop::Max<double>(double, double)", {"a": "1.5", "b": "2.5"}),
                ("shop::Max<int>(int, int)", {"a": "3", "b": "4"})])
            (function, _), = self.hits(program, "Max<int>")
            self.assertEqual(function, "shop::Max<int>(int, int)")
            (function, _), = self.hits(program, "Cart::operator==")
            self.assertIn("operator==", function)

    def test_names_as_people_type_them(self):
        for program in self.each():
            for name in ("Length(const std::string&, const char*)",
                         "size_t shop::Length(const std::string& text, const char *more);",
                         "shop::v2::Length(std::string const&, char const*)",
                         "&shop::Length", "main"):
                (function, _), = self.hits(program, name)  # and none of the lambda in it
                self.assertIn("main" if name == "main" else "shop::v2::Length(", function)
            for name in ("Total(int)", "bool Cart::operator ==(const Cart& other)",
                         "shop::Hidden(int)", "int shop::Max<int>(int, int)"):
                self.assertEqual(len(self.hits(program, name)), 1, name)

    def test_a_call_by_a_thunk_is_one(self):
        for program in self.each():
            (function, arguments), = self.hits(program, "Article::Letters")
            self.assertEqual((function, arguments["more"]), ("shop::Article::Letters(int)", "3"))

    def test_a_line_without_code_is_not_shown_in_the_next_function(self):
        # GCC leaves the mark of `return` where the next inlined call begins.
        with tempfile.TemporaryDirectory(prefix="sf-headers-") as folder:
            for name, at in (("First", "a"), ("Second", "b")):
                (pathlib.Path(folder) / at).mkdir()
                (pathlib.Path(folder) / at / "same.h").write_text(
                    f'inline int {name}(int value) {{\n  asm volatile("" : "+r"(value));\n'
                    f"  return value + {len(name)};\n}}\n")
            source = pathlib.Path(folder) / "same.cc"
            source.write_text('#include "a/same.h"\n#include "b/same.h"\n#include <cstdio>\n'
                              "int main(int argc, char**) {\n  int total = 0;\n"
                              "  for (int i = 0; i < 3; ++i) total += First(i) + Second(i);\n"
                              '  std::printf("%d\\n", total + argc);\n}\n')
            for level in ("-O1", "-O2"):
                program = pathlib.Path(folder) / f"same{level}"
                subprocess.run(["g++", "-g", level, "-o", program, source], check=True)
                _, snapshots = harness.run_with_file(
                    program, [{"location": {"file": "a/same.h", "line": 3},
                               "limits": {"maxHits": 10, "perSecond": 1000}}])
                self.assertEqual(len(snapshots), 3, level)
                for snapshot in snapshots:
                    self.assertNotIn("Second", snapshot["frames"][0]["function"])

    def test_internal_linkage_and_inlined_copies(self):
        for program in self.each():
            (function, arguments), = self.hits(program, "Hidden")
            self.assertIn("Hidden(int)", function)
            self.assertIn(arguments["level"], ("20", None))  # GCC may describe it after its copy
            calls = self.hits(program, "shop::Check")
            # Inlined, both copies are sites; where the bytes allow no jump, one is refused with its
            # reason.
            final, = re.findall(r"final (\{.*\})", self.said)
            sites = json.loads(final)["sites"]
            self.assertEqual({s["function"] for s in sites}, {"shop::Check(int)"})
            armed = [s for s in sites if s["method"]]
            self.assertTrue(all("UNSAFE_SITE" in s["reason"] for s in sites if not s["method"]))
            self.assertEqual(len(calls), 2 if len(sites) == 1 else len(armed))
            self.assertEqual({f for f, _ in calls}, {"shop::Check(int)"})
            self.assertLessEqual({a["value"] for _, a in calls}, {"20", "42"})
            self.assertGreaterEqual(len(calls), 1)

    def test_an_address(self):
        program = harness.compile_target("places.cc")
        symbols = subprocess.run(["nm", "-C", program], capture_output=True, text=True,
                                 check=True).stdout
        address = "0x" + re.search(r"([0-9a-f]+) T shop::Scale\(int\)", symbols).group(1).lstrip("0")
        for module in ("", "places"):
            location = {"address": address, **({"module": module} if module else {})}
            _, (snapshot,) = harness.run_with_file(program, [{"location": location}])
            self.assertEqual(snapshot["frames"][0]["pc"], address)
            self.assertEqual(harness.variable(snapshot["frames"][0], "by")["value"], "5")
        for location, message in (
                ({"address": "0x10"}, "NOT_FOUND"),
                ({"address": address, "module": "other"}, "no module 'other' is loaded")):
            done, snapshots = harness.run_with_file(program, [{"location": location}],
                                                    env={"STILLFRAME_LOG": "info"})
            self.assertEqual(snapshots, [])
            self.assertIn(message, done.stderr)

    def test_the_command_line(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        program = harness.compile_target("places.cc")
        for place, shown in (("shop::Scale(int)", '"shop::Scale(int)"'),
                             ("::main", '"::main"'), ("Print(const char*, ...)", "..."),
                             ("shop::operator/", "operator/"), ('operator""_km', "_km"),
                             ("0x1234", '"0x1234"'), ("libx.so:0x1234", '"libx.so"')):
            done = server.cli("--output", "json", "set", place, "--service", "s")
            self.assertIn(shown, done.stdout)
            self.assertIn(place, server.cli("list", "--service", "s").stdout)
        for place in ("places.cc", "places.cc:", "places.cc:0", "", "12", "a/b", "operator.cc", ":12",
                      "::", "x/operator.cc"):
            done = server.cli("set", place, "--service", "s", check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
        status, body = server.call("POST", "/v1/services/s/tracepoints",
                                   {"location": {"address": "12g"}})
        self.assertEqual((status, body["error"]["field"]), (400, "location.address"))
        self.assertEqual(program.exists(), True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
