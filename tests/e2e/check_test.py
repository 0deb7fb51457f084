"""`stillframe check`: what an expression will be, asked of a binary that does not run."""
import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

PROGRAM = """\
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
int main(int argc, char**) {
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

    def check(self, expression, level="-O0", output="json", place=None):
        return subprocess.run(
            [str(harness.CLI), "--output", output, "check", str(self.folder / f"check{level}"),
             place or f"check.cc:{self.line}", "--", expression], capture_output=True, text=True)

    def sites(self, expression, level="-O0"):
        done = self.check(expression, level)
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


if __name__ == "__main__":
    unittest.main()
