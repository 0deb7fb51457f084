"""Values that only the caller still knows: right, or not there with a reason."""
import unittest

import harness

MATRIX = [(compiler, (level, "-g", dwarf)) for compiler in ("g++", "clang++-14")
          for level in ("-O1", "-O2", "-O3") for dwarf in ("-gdwarf-4", "-gdwarf-5")]


class EntryValuesTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def frames(self, mark):
        """Frames of the first hit of the mark, over compilers and levels."""
        line = harness.line_of("entry_values.cc", mark)
        for compiler, flags in MATRIX:
            program = harness.compile_target("entry_values.cc", compiler, flags)
            with self.subTest(mark=mark, compiler=compiler, flags=flags):
                done, snapshots = harness.run_with_file(
                    program, [{"location": {"file": "entry_values.cc", "line": line}}])
                if "LINE_HAS_NO_CODE" in done.stderr:
                    continue  # computed by the compiler
                self.assertEqual(len(snapshots), 1, done.stderr)
                yield compiler, snapshots[0]["frames"]

    def expect(self, frame, name, *truths):
        """The value's status; the value is one of the truths, or absent with a reason."""
        value = harness.variable(frame, name)
        self.assertIsNotNone(value, name)
        if value["status"] in ("EXACT", "RECOVERED"):
            self.assertIn(value["value"], truths)
            if value["status"] == "RECOVERED":
                self.assertIn(value["reason"], ("entry value", "stashed at entry"))
        else:
            self.assertTrue(value.get("reason"), value)
        return value["status"]

    def test_a_direct_call(self):
        for compiler, frames in self.frames("mark-direct"):
            self.assertIn("Direct", frames[0]["function"])
            status = self.expect(frames[0], "key", "1000")
            if compiler == "g++":
                self.assertEqual(status, "RECOVERED")

    def test_a_tail_call_in_between(self):
        for _, frames in self.frames("mark-last"):
            self.assertIn("Last", frames[0]["function"])
            self.expect(frames[0], "key", "57")

    def test_a_function_that_tail_calls_itself(self):
        for _, frames in self.frames("mark-even"):
            self.assertIn("Even", frames[0]["function"])
            self.expect(frames[0], "left", "0")

    def test_a_call_through_a_pointer(self):
        for _, frames in self.frames("mark-indirect"):
            self.assertIn("Indirect", frames[0]["function"])
            self.expect(frames[0], "key", "77")

    def test_a_chain_of_frames(self):
        for _, frames in self.frames("mark-chain"):
            chain = [f for f in frames if "Chain" in f["function"]]
            for depth, frame in enumerate(chain[:5]):
                self.expect(frame, "key", str(103 - depth))
                self.expect(frame, "level", str(depth))

    def test_floating_point(self):
        for _, frames in self.frames("mark-floats"):
            self.expect(frames[0], "rate", "2.5")
            self.expect(frames[0], "share", "0.25")

    def test_conditions_and_expressions(self):
        program = harness.compile_target("entry_values.cc", "g++", ("-O2", "-g"))
        line = harness.line_of("entry_values.cc", "mark-direct")
        for condition, hits in (("key == 1003", 0), ("key == 1001", 1)):
            done, snapshots = harness.run_with_file(
                program, [{"location": {"file": "entry_values.cc", "line": line},
                           "condition": condition}])
            self.assertEqual(len(snapshots), hits, done.stderr)
        done, (snapshot,) = harness.run_with_file(
            program, [{"location": {"file": "entry_values.cc", "line": line},
                       "expressions": ["key + 1"]}])
        self.assertEqual(snapshot["expressions"][0]["value"], "1001")
        self.assertEqual(snapshot["expressions"][0]["status"], "RECOVERED")


if __name__ == "__main__":
    unittest.main(verbosity=2)
