"""Tracepoints where a function is left: `$return` is what the program then prints that it got."""
import decimal
import json
import re
import subprocess
import unittest

import harness

MATRIX = [(compiler, level) for compiler in ("g++", "clang++-14") for level in ("-O0", "-O2")]
LIMITS = {"maxHits": 20, "perSecond": 1000, "perTrace": 0}
# What each shows of its result, as the program prints it.
SCALARS = ("Int", "Byte", "Short", "Bool", "Enum", "Unsigned", "Float", "Double", "LongDouble",
           "Text", "Reference", "Local")
MEMBERS = {
    "GetSmall": ("id", "letter"), "GetPair": ("id", "price"), "GetDoubles": ("x", "y"),
    "GetFloats": ("x", "y", "z"), "GetMixed": ("ratio", "count", "total"),
    "GetLarge": ("numbers.[0]", "numbers.[4]"), "GetWide": ("number",),
    "GetBits": ("low", "high", "rest"), "GetOwner": ("id_",), "GetHolder": ("owner.id_",),
    "GetDerived": ("first", "second"), "GetMoved": ("id",), "GetShape": ("sides",),
    "Vector": ("[2]",), "Unique": ("id",),
}


def program(compiler, level):
    return harness.compile_target("returns.cc", compiler, (level, "-g"))


def told(output, name):
    return [line.split()[1:] for line in output.splitlines() if line.split()[0] == name]


def leaves(value):
    """Every value at the ends of a result, bases included."""
    children = value.get("children", [])
    if not children:
        return [value.get("value", "")]
    return [leaf for child in children for leaf in leaves(child)]


def find(value, path):
    found = harness.variable({"variables": value.get("children", [])}, path)
    if found is None:  # in a base class
        for child in value.get("children", []):
            found = found or find(child, path)
    return found


def plain(text):
    """As printf writes it: true is 1, 113 'q' is q, 0x… "many" is many."""
    for known, number in (("true", "1"), ("false", "0"), ("shop::Tier::kGold", "1")):
        if text == known:
            return number
    if re.fullmatch(r"-?\d+ '.*'", text) and not text.endswith("'q'"):
        return text.split()[0]
    quoted = re.search(r"'(.)'$|\"(.*)\"$", text)
    return next(g for g in quoted.groups() if g is not None) if quoted else text


def same(ours, theirs):
    try:
        a, b = decimal.Decimal(ours), decimal.Decimal(theirs)
    except decimal.InvalidOperation:
        return ours == theirs
    return abs(a - b) <= abs(b) * decimal.Decimal("1e-17")


class ReturnsTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def run_returns(self, compiler, level, names, **spec):
        done, snapshots = harness.run_with_file(
            program(compiler, level),
            [{"id": name, "location": {"function": name, "at": "return"}, "limits": LIMITS, **spec}
             for name in names], env={"STILLFRAME_LOG": "info",
                                      "STILLFRAME_LIMITS": "snapshotsPerSecond=0,cpuPercent=0"})
        by_name = {name: [] for name in names}
        for snapshot in sorted(snapshots, key=lambda s: s["time"]):
            by_name[snapshot["tracepointId"]].append(snapshot)
        self.states = {}
        for line in re.findall(r"final (\{.*\})", done.stderr):
            state = json.loads(line)
            self.states[state.get("id", "")] = state
        return done, by_name

    def result(self, snapshot):
        found = harness.variable(snapshot["frames"][0], "$return")
        self.assertIsNotNone(found, snapshot["frames"][0])
        return found

    def each(self):
        for compiler, level in MATRIX:
            with self.subTest(compiler=compiler, level=level):
                yield compiler, level

    def check_values(self, compiler, done, by_name):
        for name in SCALARS:
            snapshots = by_name[name]
            self.assertTrue(snapshots, name)
            value = self.result(snapshots[0])
            self.assertEqual(value["status"], "EXACT", (name, value))
            wanted = told(done.stdout, name)[0][0]
            self.assertTrue(same(plain(value["value"]), wanted), (name, value, wanted))
        for name, members in MEMBERS.items():
            value = self.result(by_name[name][0])
            for member, wanted in zip(members, told(done.stdout, name)[0][-len(members):]):
                found = find(value, member)
                self.assertIsNotNone(found, (name, member, value))
                self.assertEqual(found["status"], "EXACT", (name, member, value))
                self.assertTrue(same(plain(found["value"]), wanted), (name, found, wanted))

    def test_every_class_of_value(self):
        names = [*SCALARS, *MEMBERS, "Huge", "GetEmpty", "String", "ComplexFloat", "ComplexDouble",
                 "Nothing"]
        for compiler, level in self.each():
            # Few enough for the ring: they come within microseconds.
            done, by_name = self.run_returns(compiler, level, names[:16])
            by_name |= self.run_returns(compiler, level, names[16:])[1]
            self.check_values(compiler, done, by_name)
            self.assertEqual(self.result(by_name["Huge"][0])["value"], str((5 << 80) + 7))
            self.assertEqual(self.result(by_name["String"][0])["value"],
                             '"order 5 of a longer text"')
            self.assertEqual(self.result(by_name["ComplexFloat"][0])["value"], "5.25 + 2i")
            self.assertEqual(self.result(by_name["ComplexDouble"][0])["value"], "5.25 + 3i")
            self.assertEqual(self.result(by_name["GetEmpty"][0])["status"], "EXACT")
            nothing, = by_name["Nothing"]
            self.assertIsNone(harness.variable(nothing["frames"][0], "$return"))
            for snapshots in by_name.values():
                for snapshot in snapshots:
                    self.assertIn("shop::" if snapshot["tracepointId"] != "Local" else "Local",
                                  snapshot["frames"][0]["function"])
                    if snapshot["tracepointId"] not in ("Int", "GetPair", "String"):  # others call them, too
                        self.assertEqual(snapshot["frames"][1]["function"].split("(")[0], "main")

    def test_parameters_at_the_end(self):
        for compiler, level in self.each():
            _, by_name = self.run_returns(compiler, level, ["Throws", "Double"])
            for name, wanted in (("Throws", "2"), ("Double", "5")):
                snapshot, = by_name[name]
                found = harness.variable(snapshot["frames"][0], "n")
                if level == "-O0":
                    self.assertEqual(found["status"], "EXACT", found)
                if found["status"] in ("EXACT", "RECOVERED"):
                    self.assertEqual(found["value"], wanted)

    def test_several_returns_and_recursion(self):
        for compiler, level in self.each():
            done, by_name = self.run_returns(compiler, level, ["Several", "Deep", "Throws"])
            # What is left by an exception does not return.
            self.assertEqual(len(by_name["Throws"]), 1)
            self.assertEqual([self.result(s)["value"] for s in by_name["Throws"]], ["42"])
            values = [self.result(s) for s in by_name["Several"]]
            self.assertEqual(len(values), 3)
            for value, wanted in zip(sorted(values, key=lambda v: int(v.get("value", 0))),
                                     sorted(told(done.stdout, "Several")[0], key=int)):
                self.assertEqual(value["value"], wanted)
            deep = [self.result(s)["value"] for s in by_name["Deep"]]
            self.assertEqual(deep[-1], "24")
            if level == "-O0":
                self.assertEqual(deep, ["1", "1", "2", "6", "24"])

    def test_a_tail_call_has_no_value_yet(self):
        for compiler, level in self.each():
            done, by_name = self.run_returns(compiler, level, ["Jumps"])
            snapshot, = by_name["Jumps"]
            value = self.result(snapshot)
            if level == "-O0":
                self.assertEqual(value["value"], told(done.stdout, "Jumps")[0][0])
            else:
                self.assertEqual((value["status"], value["reason"]), ("UNAVAILABLE", "TAIL_CALL"))

    def test_a_result_that_was_left_out(self):
        for compiler, level in self.each():
            _, by_name = self.run_returns(compiler, level, ["Ignored"])
            for snapshot in by_name["Ignored"]:
                value = self.result(snapshot)
                if value["status"] == "UNAVAILABLE":
                    self.assertEqual(value["reason"], "OPTIMIZED_OUT")
                else:
                    self.assertEqual(value["value"], "92")

    def test_secrets(self):
        for compiler, level in self.each():
            done, by_name = self.run_returns(compiler, level, ["ApiToken"])
            snapshot, = by_name["ApiToken"]
            self.assertEqual(self.result(snapshot)["status"], "REDACTED")
            self.assertNotIn("hunter2", json.dumps(snapshot))
            _, by_name = self.run_returns(compiler, level, ["ApiToken"],
                                          expressions=["$return.size()"])
            self.assertEqual(by_name["ApiToken"], [])
            self.assertEqual(next(iter(self.states.values()))["reason"], "REDACTED")

    def test_conditions_and_expressions(self):
        for compiler, level in self.each():
            _, by_name = self.run_returns(compiler, level, ["GetPair"],
                                          condition="$return.price > 0.6",
                                          expressions=["$return.id * 2", "$return"])
            self.assertTrue(by_name["GetPair"])
            self.assertEqual(by_name["GetPair"][0]["expressions"][0]["value"], "1000")
            self.assertEqual(leaves(by_name["GetPair"][0]["expressions"][1]), ["500", "0.625"])
            _, by_name = self.run_returns(compiler, level, ["Several"], condition="$return < 0")
            self.assertEqual(sorted(self.result(s)["value"] for s in by_name["Several"]),
                             ["-1", "-986"])
            _, by_name = self.run_returns(compiler, level, ["Vector"],
                                          condition="any($return, x -> x == 10)")
            self.assertEqual(len(by_name["Vector"]), 1)
            _, by_name = self.run_returns(compiler, level, ["Vector"],
                                          condition="$return.size() == 4")
            self.assertEqual(by_name["Vector"], [])

    def test_other_kinds(self):
        for compiler, level in self.each():
            _, by_name = self.run_returns(compiler, level, ["Double"], kind="LOG",
                                          logMessage="it is {$return}")
            self.assertEqual([s["message"] for s in by_name["Double"]], ["it is 7.5"])
            _, by_name = self.run_returns(compiler, level, ["LongDouble"], kind="LOG",
                                          logMessage="it is {$return}")
            self.assertRegex(by_name["LongDouble"][0]["message"], r"^it is 1\.6666666666666666")
            self.run_returns(compiler, level, ["Deep"], kind="DISTRIBUTION",
                             expressions=["$return"])
            distribution = next(iter(self.states.values()))["distribution"]
            self.assertEqual(distribution["max"], 24)

    def test_refused(self):
        for location, field in (({"function": "f", "at": "exit"}, "at"),
                                ({"file": "a.cc", "line": 1, "at": "return"}, "at")):
            done, _ = harness.run_with_file(program("g++", "-O0"), [{"location": location}],
                                            env={"STILLFRAME_LOG": "error"})
            self.assertIn(field, done.stderr)
        _, by_name = self.run_returns("g++", "-O0", ["Nothing"], condition="$return > 1")
        self.assertEqual(next(iter(self.states.values()))["reason"], "UNKNOWN_VARIABLE")

    def test_what_gdb_says(self):
        names = ["Int", "Double", "GetSmall", "GetPair", "GetDoubles", "GetFloats", "GetMixed",
                 "GetLarge", "GetBits", "GetDerived"]
        for compiler, level in self.each():
            _, by_name = self.run_returns(compiler, level, names)
            commands = [part for name in names
                        for part in ("-ex", f"tbreak shop::{name}", "-ex", "continue",
                                     "-ex", "finish")]
            said = subprocess.run(
                ["gdb", "-batch", "-nx", "-ex", "set debuginfod enabled off", "-ex", "break main",
                 "-ex", "run", *commands, str(program(compiler, level))],
                capture_output=True, text=True, timeout=120).stdout
            values = re.findall(r"Value returned is \$\d+ = (.*)", said)
            self.assertEqual(len(values), len(names), said)
            for name, value in zip(names, values):
                numbers = re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?", re.sub(r"'.'|<[^>]*>", "", value))
                ours = [plain(v) if "'" not in v else v.split()[0]
                        for v in leaves(self.result(by_name[name][0]))]
                self.assertEqual([decimal.Decimal(v) for v in ours],
                                 [decimal.Decimal(v) for v in numbers], (name, value))

    def test_over_the_server(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        server.cli("set", "shop::Double", "--return", "--watch", "$return * 2", "--service", "p",
                   "--max-hits", "10")
        for bad in (["set", "a.cc:1", "--return"], ["set", "f", "--return", "--span"]):
            self.assertEqual(server.cli(*bad, "--service", "p", check=False).returncode, 2)
        status, tracepoint = server.call(
            "POST", "/v1/services/p/tracepoints",
            {"location": {"function": "shop::GetPair", "at": "return"},
             "limits": {"maxHits": 10}})
        self.assertEqual(status, 201)
        self.assertEqual(tracepoint["location"], {"function": "shop::GetPair", "at": "return"})
        env = server.agent_env(server.key("agent"), "p", STILLFRAME_START_WAIT="20s")
        env["LD_PRELOAD"] = f"{harness.flush_library()}:{env['LD_PRELOAD']}"

        def both():
            """Snapshots of both. A share of the fleet's hits may come after a short program's end."""
            done = subprocess.run([str(program("g++", "-O2"))], check=True, capture_output=True,
                                  timeout=60, text=True, env=env)
            self.assertEqual(told(done.stdout, "Double"), [["7.5"]])
            found = server.call("GET", "/v1/snapshots")[1]["snapshots"]
            return found if len({s["tracepointId"] for s in found}) == 2 else None

        snapshots = harness.wait_for("the snapshots", both)
        for snapshot in snapshots:
            shown = server.cli("snapshot", snapshot["id"]).stdout
            self.assertRegex(shown, r"\$return = 7\.5  double|price = 0\.625  double")
            if "Double" in snapshot["frames"][0]["function"]:
                self.assertRegex(shown, r"\$return \* 2 = 15")
        self.assertIn("shop::Double (return)", server.cli("list").stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
