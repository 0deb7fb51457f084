"""Variables of callers that were never met before, of blocks and of lambdas: all of them at -O0."""
import unittest

import harness

COMPILERS = ("g++", "clang++-14")
BASKET = {
    "owner": '"somebody with a long name"',
    "items": "size=2",
    "items[0].name": '"a very long name of an apple"',
    "items[0].count": "3",
    "items[1].name": '"pear"',
    "notes": "size=2",
    "next": "0x0",
}


class CallersTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def snapshot(self, compiler, mark, flags=("-O0", "-g")):
        program = harness.compile_target("callers.cc", compiler, flags)
        line = harness.line_of("callers.cc", mark)
        done, snapshots = harness.run_with_file(program, [
            {"location": {"file": "callers.cc", "line": line}, "capture": {"depth": 5}}])
        self.assertEqual(len(snapshots), 1, done.stderr)
        return snapshots[0]

    def expect(self, frame, expected, statuses=("EXACT",)):
        for name, value in expected.items():
            found = harness.variable(frame, name)
            self.assertIsNotNone(found, f"{name} is missing in {frame['function']}")
            self.assertIn(found["status"], statuses, found)
            self.assertEqual(found.get("value"), value, name)

    def test_heap_values_of_callers_at_their_first_hit(self):
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler):
                snapshot = self.snapshot(compiler, "mark-leaf")
                leaf, ring, served = snapshot["frames"][:3]
                self.expect(leaf, {"number": "42"})
                self.assertIn("Till::Ring(", ring["function"])
                self.expect(ring, {"number": "40", "words": "size=2",
                                   "words[0]": '"a first word that is long"',
                                   "words[1]": '"a second one"', "this.drawer": "7"})
                self.expect(ring, {f"basket.{name}": value for name, value in BASKET.items()})
                self.assertIn("Serve(", served["function"])
                self.expect(served, {"greeting": '"good morning to somebody with a long name"'})
                self.assertFalse(snapshot.get("truncated", False))

    def test_optimized_callers_show_no_wrong_value(self):
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler):
                snapshot = self.snapshot(compiler, "mark-leaf", ("-O2", "-g"))
                ring = snapshot["frames"][1]
                self.assertIn("Till::Ring(", ring["function"])
                for name, value in {"number": "40", "words": "size=2", "basket.owner": BASKET["owner"],
                                    "words[0]": '"a first word that is long"'}.items():
                    found = harness.variable(ring, name)
                    if found is not None and "value" in found:
                        self.assertEqual(found["value"], value, name)

    def test_blocks_that_are_written_twice(self):
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler):
                frame = self.snapshot(compiler, "mark-block")["frames"][0]
                self.assertIn("~List()", frame["function"])
                self.expect(frame, {"seen": "200", "node.number": "200", "next.number": "100"})

    def test_what_a_lambda_captured(self):
        frame = self.snapshot("g++", "mark-lambda")["frames"][0]
        self.expect(frame, {"x": "4", "offset": "3"})
        self.assertEqual(harness.variable(frame, "total")["status"], "EXACT")
        self.assertIsNotNone(harness.variable(frame, "__closure.__total"))
        frame = self.snapshot("clang++-14", "mark-lambda")["frames"][0]
        self.expect(frame, {"x": "4", "this.offset": "3"})


if __name__ == "__main__":
    unittest.main()
