"""`stillframe check`: what an expression will be, asked of a binary that does not run."""
import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

PROGRAM = """\
#include <stdexcept>
#include <string>
#include <vector>
namespace shop {
enum class Tier { kBasic, kGold };
struct Customer { std::string name; Tier tier; std::string password; };
struct Order { int id; std::vector<int> items; Customer* customer; };
volatile int sink;
__attribute__((noinline)) void Handle(const Order& order, int gone) {
  const int lost = sink;
  sink = order.id * lost + gone;
  sink = order.id;  // here
}
}
namespace shop {
struct Receipt { long total; std::string id; ~Receipt() {} };
struct Error : std::runtime_error { int code; explicit Error(int c) : std::runtime_error("no"), code(c) {} };
__attribute__((noinline)) Receipt Pay(int pieces) {
  if (pieces > 5) throw Error(pieces);
  return {pieces * 10L, "r" + std::to_string(pieces)};
}
__attribute__((noinline)) std::string getPassword(int n) { return "zq7" + std::to_string(n); }
__attribute__((noinline)) void Nothing(int n) { sink = n; }
}
int main(int argc, char**) {
  shop::sink = static_cast<int>(shop::Pay(argc).total + shop::getPassword(argc).size());
  shop::Nothing(argc);
  shop::Customer customer{"Ada", shop::Tier::kGold, "x"};
  shop::Order order{argc, {1, 2}, &customer};
  shop::Handle(order, argc);
}
"""


class CheckTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-check-"))
        (cls.folder / "check.cc").write_text(PROGRAM)
        cls.line = next(n for n, text in enumerate(PROGRAM.splitlines(), 1) if "// here" in text)
        for level in ("-O0", "-O2"):
            subprocess.run(["g++", "-std=c++20", "-g", level, "-o", str(cls.folder / f"check{level}"),
                            str(cls.folder / "check.cc")], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def check(self, expression, level="-O0", output="json", place=None, options=()):
        places = [] if "--exception" in options else [place or f"check.cc:{self.line}"]
        return subprocess.run(
            [str(harness.CLI), "--output", output, "check", *options,
             str(self.folder / f"check{level}"), *places, "--", expression],
            capture_output=True, text=True)

    def sites(self, expression, level="-O0", **where):
        done = self.check(expression, level, **where)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode, json.loads(done.stdout)["sites"]

    def test_types_and_needed_variables(self):
        for expression, kind, condition, names in (
                ("order.items.size() > 1", "bool", True, ["order"]),
                ("order.items", "std::vector<int>", False, ["order"]),
                ("order.customer->tier == Tier::kGold && gone > -1L", "bool", True,
                 ["order", "gone"]),
                ("order.id * 2.5", "double", True, ["order"]),
                ("-order.id", "int", True, ["order"])):
            code, sites = self.sites(expression)
            self.assertEqual(code, 0, expression)
            for site in sites:
                self.assertEqual((site["type"], site["condition"]), (kind, condition), expression)
                self.assertEqual([v["name"] for v in site["variables"]], names)
                self.assertEqual({v["status"] for v in site["variables"]}, {"EXACT"})
                self.assertIn("shop::Handle", site["function"])

    def test_mistakes_say_where_and_what_is_near(self):
        for expression, code, part in (
                ("order.itmes.size()", "UNKNOWN_VARIABLE", "column 7: "),
                ("oder.id", "UNKNOWN_VARIABLE", "near: order"),
                ("order.customer->name + 1", "BAD_EXPRESSION", "column 22: "),
                ("order.customer->password", "REDACTED", "column 17: ")):
            exit_code, sites = self.sites(expression)
            self.assertEqual(exit_code, 1, expression)
            for site in sites:
                self.assertEqual(site["error"]["code"], code, site)
                self.assertIn(part, site["error"]["message"])

    def test_every_variable_is_told_of(self):
        code, sites = self.sites("order.id + lost", "-O2")
        self.assertEqual(code, 1)
        for site in sites:
            self.assertEqual(site["error"]["code"], "OPTIMIZED_OUT")
            told = {v["name"]: (v["status"], v.get("reason")) for v in site["variables"]}
            self.assertEqual(told["lost"], ("UNAVAILABLE", "OPTIMIZED_OUT"))
            self.assertIn("order", told)

    def test_where_a_function_is_left(self):
        for level in ("-O0", "-O2"):
            for expression, kind, needed in (("$return.total > 100", "bool", ["$return"]),
                                             ("$return.id.size()", "unsigned long", ["$return"]),
                                             ("$return", "shop::Receipt", ["$return"]),
                                             ("$return.total + pieces", "long",
                                              ["$return", "pieces"])):
                for options in ((), ("--return",)):
                    code, sites = self.sites(expression, level, place="shop::Pay", options=options)
                    self.assertEqual((code, len(sites)), (0, 1), sites)
                    self.assertEqual(sites[0]["type"], kind)
                    self.assertEqual([v["name"] for v in sites[0]["variables"]], needed)
            for place, expression, error, part in (
                    ("shop::getPassword", "$return.size()", "REDACTED", "'$return' is redacted"),
                    ("shop::Pay", "$return.totl", "UNKNOWN_VARIABLE", "near: total"),
                    ("shop::Nothing", "$return", "UNKNOWN_VARIABLE", "that returns a value"),
                    (None, "$return > 3", "UNKNOWN_VARIABLE", "where a function is left")):
                code, sites = self.sites(expression, level, place=place)
                self.assertEqual((code, {s["error"]["code"] for s in sites}), (1, {error}), place)
                self.assertIn(part, sites[0]["error"]["message"])

    def test_where_a_function_begins_and_at_an_address(self):
        code, sites = self.sites("pieces > 3", "-O2", place="shop::Pay")
        self.assertEqual((code, sites[0]["type"]), (0, "bool"))
        code, again = self.sites("pieces > 3", "-O2", place=sites[0]["address"])
        self.assertEqual((code, again), (0, sites))
        self.assertEqual(self.check("1", place="shop::Missing").returncode, 1)

    def test_where_a_type_is_thrown(self):
        thrown = ("--exception", "shop::Error")
        for level in ("-O0", "-O2"):
            code, sites = self.sites("$exception.code >= 500", level, options=thrown)
            self.assertEqual((code, sites), (0, [{
                "function": "throw of shop::Error", "usable": True, "type": "bool",
                "condition": True, "variables": [
                    {"name": "$exception", "type": "shop::Error", "status": "EXACT"}]}]))
            code, sites = self.sites("$exception.what()", level, options=thrown)
            self.assertEqual((code, sites[0]["type"]), (0, "const char *"))
            code, sites = self.sites("$exception.cod", level, options=thrown)
            self.assertEqual((code, sites[0]["error"]["code"]), (1, "UNKNOWN_VARIABLE"))
            self.assertIn("near: code", sites[0]["error"]["message"])
        done = self.check("$exception.code", options=("--exception", "shop::Missing"))
        self.assertEqual((done.returncode, json.loads(done.stderr)["error"]["code"]),
                         (1, "NOT_FOUND"))
        done = self.check("$exception.code +", options=thrown, output="text")
        self.assertEqual(done.returncode, 1)
        self.assertIn("    $exception.code +\n                     ^\n", done.stderr)

    def test_text_marks_the_column(self):
        done = self.check("order.itmes", output="text")
        self.assertEqual(done.returncode, 1)
        self.assertIn("    order.itmes\n          ^\n", done.stdout)
        done = self.check("order.id +", output="text")
        self.assertEqual(done.returncode, 1)
        self.assertIn("    order.id +\n              ^\n", done.stderr)

    def test_wrong_usage(self):
        self.assertEqual(self.check("order", place="check.cc").returncode, 2)
        self.assertEqual(subprocess.run([str(harness.CLI), "check"],
                                        capture_output=True).returncode, 2)
        self.assertEqual(self.check("order", place="nowhere.cc:1").returncode, 1)
        binary = str(self.folder / "check-O2")
        for words in ([binary, "shop::Pay"], [binary, "check.cc:1", "--return", "1"],
                      [binary, "--exception", "E", "shop::Pay", "1"],
                      [binary, "--exception", "E", "--return", "1"]):
            self.assertEqual(subprocess.run([str(harness.CLI), "check", *words],
                                            capture_output=True).returncode, 2, words)


if __name__ == "__main__":
    unittest.main()
