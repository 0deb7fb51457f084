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


class TailCallsTest(unittest.TestCase):
    """Functions that are gone because they ended by a tail call: shown where only one way led there."""

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def snapshots(self, compiler, mark, hits):
        program = harness.compile_target("tail_calls.cc", compiler, ("-O2", "-g"))
        line = harness.line_of("tail_calls.cc", mark)
        done, snapshots = harness.run_with_file(program, [
            {"location": {"file": "tail_calls.cc", "line": line},
             "limits": {"maxHits": hits, "perSecond": 100}}])
        self.assertEqual(len(snapshots), hits, done.stderr)
        return snapshots

    def names(self, snapshot):
        return [frame["function"].split("(")[0] for frame in snapshot["frames"]]

    def test_the_only_way(self):
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler):
                snapshot, = self.snapshots(compiler, "mark-last", 1)
                self.assertEqual(self.names(snapshot)[:4], ["Last", "Second", "First", "main"])
                for frame, mark in zip(snapshot["frames"][1:3], ("mark-second", "mark-first")):
                    self.assertEqual(frame["line"], harness.line_of("tail_calls.cc", mark))
                    self.assertEqual(frame["variablesReason"], "TAIL_CALL")
                    self.assertEqual(frame["module"], snapshot["frames"][0]["module"])
                    self.assertEqual(frame["buildId"], snapshot["frames"][0]["buildId"])
                    self.assertFalse(frame.get("variables"))
                main = snapshot["frames"][3]
                self.assertEqual(main["line"], harness.line_of("tail_calls.cc", "mark-main"))

    def test_two_ways_are_none(self):
        for compiler in COMPILERS:
            with self.subTest(compiler=compiler):
                forked, twice = self.snapshots(compiler, "mark-goal", 2)
                # Which of the two it was cannot be told, and that Fork was there would be half a truth.
                self.assertEqual(self.names(forked)[:2], ["Goal", "main"])
                self.assertEqual(self.names(twice)[:3], ["Goal", "Twice", "main"])


if __name__ == "__main__":
    unittest.main()
