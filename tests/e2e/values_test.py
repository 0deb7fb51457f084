"""Values in snapshots against what the program itself printed, over compilers and levels.

A value that is there must be right, at every level; at -O0 every variable must be there.
"""
import itertools
import re
import unittest

import harness

MATRIX = [
    (compiler, level, dwarf)
    for compiler, (level, dwarf) in itertools.product(
        ("g++", "clang++-14"), (("-O0", "-gdwarf-5"), ("-O2", "-gdwarf-4"), ("-O2", "-gdwarf-5"),
                                ("-O3", "-gdwarf-5")))
] + [
    # Ways to write debug information that real builds use.
    ("clang++-14", "-O0", "-gsimple-template-names"),
    ("g++", "-O2", "-gsplit-dwarf"),
    ("clang++-14", "-O1", "-gsplit-dwarf"),
    ("g++", "-O2", "-gz"),
    ("g++", "-O2", "-flto"),
    ("g++", "-O1", "-fdebug-types-section"),
]


def walk(values):
    for value in values:
        yield value
        yield from walk(value.get("children", []))


class ValuesTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def each(self):
        for compiler, level, dwarf in MATRIX:
            program = harness.compile_target("values.cc", compiler, ("-g", level, dwarf))
            with self.subTest(compiler=compiler, level=level, dwarf=dwarf):
                yield program, level

    def snapshot(self, program, mark, **spec):
        line = harness.line_of("values.cc", mark)
        done, snapshots = harness.run_with_file(
            program, [{"location": {"file": "values.cc", "line": line}, **spec}])
        self.assertEqual(len(snapshots), 1, done.stderr)
        return done.stdout, snapshots[0]

    def expect(self, frame, name, value, level):
        found = harness.variable(frame, name)
        self.assertIsNotNone(found, f"{name} is missing")
        if found["status"] == "UNAVAILABLE" and level != "-O0":
            self.assertTrue(found.get("reason"), f"{name} is unavailable without a reason")
            return
        self.assertIn(found["status"], ("EXACT", "RECOVERED"), f"{name}: {found}")
        self.assertEqual(found.get("value"), value, name)

    def test_scalars(self):
        for program, level in self.each():
            _, snapshot = self.snapshot(program, "mark-scalars")
            frame = snapshot["frames"][0]
            self.assertIn("shop::Scalars(", frame["function"])
            for name, value in {"i": "-42", "u": "4000000000", "ll": "-9000000000000000000",
                                "c": "65 'A'", "b": "true", "f": "1.5", "s": "-7",
                                "uc": "200 '\\310'", "d": "2.718281828459045"}.items():
                self.expect(frame, name, value, level)

    def test_nested_containers(self):
        for program, level in self.each():
            _, snapshot = self.snapshot(program, "mark-total", capture={"depth": 5})
            frame = snapshot["frames"][0]
            order = harness.variable(frame, "order")
            self.assertIsNotNone(order)
            if order["status"] == "UNAVAILABLE":
                self.assertNotEqual(level, "-O0")
                continue
            self.assertEqual(order["type"], "const shop::Order &")
            for name, value in {
                "order.id": "1234567890123", "order.items": "size=5",
                "order.items.[3].sku": '"sku-3"', "order.items.[4].quantity": "5",
                "order.items.[1].price.amount": "19", "order.tags": "size=3",
                "order.codes": "size=3", "order.codes.[0]": "1", "order.notes": "size=1",
                "order.pair.first": "-5", "order.pair.second": "120 'x'",
                "order.dims.[1]": "-20", "order.fragile": "1", "order.level": "5",
                "order.raw": "77",
            }.items():
                found = harness.variable(frame, name)
                self.assertIsNotNone(found, f"{name} is missing: {order}")
                self.assertEqual(found["status"], "EXACT", f"{name}: {found}")
                self.assertEqual(found.get("value"), value, name)
            flags = harness.variable(frame, "order.flags")["value"]
            self.assertIn("shop::kFragile | shop::kGift", flags)
            customer = harness.variable(frame, "order.customer")
            names = {v["name"]: v for v in customer["children"]}
            self.assertTrue(names["name"]["value"].startswith('"Ada \\"Countess\\" Lovelace'))
            self.assertEqual(names["tier"]["value"], "shop::Tier::kGold")
            self.assertEqual(names["password"]["status"], "REDACTED")
            self.assertNotIn("hunter2", str(snapshot))
            tags = harness.variable(frame, "order.tags")["children"]
            self.assertEqual([(t["name"], t["value"]) for t in tags],
                             [('["gift"]', "1"), ('["priority"]', "2"), ('["zone"]', "3")])

    def test_every_gap_has_a_reason(self):
        for program, _ in self.each():
            _, snapshot = self.snapshot(program, "mark-total")
            for frame in snapshot["frames"]:
                for value in walk(frame["variables"]):
                    self.assertIn(value["status"], ("EXACT", "RECOVERED", "TRUNCATED", "REDACTED",
                                                    "UNREADABLE", "UNAVAILABLE"))
                    if value["status"] in ("UNREADABLE", "UNAVAILABLE", "TRUNCATED"):
                        self.assertTrue(value.get("reason"), value)

    def test_frames_are_the_stack(self):
        for program, level in self.each():
            _, snapshot = self.snapshot(program, "mark-total")
            functions = [re.sub(r"\(.*", "", f["function"]) for f in snapshot["frames"]]
            self.assertEqual(functions[0], "shop::Total")
            self.assertIn("shop::Outer", functions)
            self.assertIn("main", functions)
            if level == "-O0":
                self.assertEqual(functions[:6], ["shop::Total"] + ["shop::Outer"] * 4 + ["main"])
                depths = [harness.variable(f, "depth")["value"] for f in snapshot["frames"][1:5]]
                self.assertEqual(depths, ["0", "1", "2", "3"])

    def test_conditions_and_watches(self):
        conditions = {
            "order.items.size() == 5": 1,
            "order.items.size() > 5": 0,
            "order.customer->tier == Tier::kGold": 1,
            "order.customer->tier == shop::Tier::kSilver": 0,
            'order.items[2].sku == "sku-2" && order.id > 1000': 1,
            'order.items[2].sku == "sku-3"': 0,
            "order.counter != nullptr && *order.counter == 42": 1,
            "order.discount.has_value() && *order.discount > 12.0": 1,
            "order.tags.size() + order.codes.size() == 6": 1,
            "!(order.level != 5) || false": 1,
        }
        for program, level in self.each():
            if level == "-O3":
                continue
            line = harness.line_of("values.cc", "mark-total")
            wanted = [{"id": text, "location": {"file": "values.cc", "line": line},
                       "condition": text} for text in list(conditions)[:8]]
            done, snapshots = harness.run_with_file(program, wanted)
            if "OPTIMIZED_OUT" in done.stderr and level != "-O0":
                continue
            got = {s["tracepointId"] for s in snapshots}
            expected = {text for text in list(conditions)[:8] if conditions[text]}
            self.assertEqual(got, expected, done.stderr)
            _, snapshot = self.snapshot(
                program, "mark-total",
                expressions=["order.items.size() * 2", "order.customer->name", "order.pair",
                             "order.items[1].price.amount * 2.0", "order.customer->tier"])
            values = [e.get("value") for e in snapshot["expressions"]]
            self.assertEqual(values[0], "10")
            self.assertIn("Ada", values[1])
            self.assertEqual(values[3], "38")
            self.assertEqual(values[4], "shop::Tier::kGold")


if __name__ == "__main__":
    unittest.main(verbosity=2)
