"""Coroutines: the parts by name, and what lives in their frames on the heap, of each compiler."""
import shutil
import unittest

import harness

COUNT = {"first": "4", "label": '"a label that is long enough for the heap"', "local": "40",
         "text": '"a label that is long enough for the heap!"', "step": "0"}
SERVE = {"count": "5", "twice": "17", "this.base": "7", "this.name": '"a counter with a long name"'}


class CoroutinesTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def hits(self, mark, levels):
        """(compiler, level, first snapshot) where the line has code."""
        line = harness.line_of("coroutines.cc", mark)
        for compiler in ("g++", "clang++-14", "clang++-19"):
            if shutil.which(compiler) is None:
                continue
            for level in levels:
                program = harness.compile_target("coroutines.cc", compiler, ("-g", level))
                done, snapshots = harness.run_with_file(
                    program, [{"location": {"file": "coroutines.cc", "line": line}}])
                self.assertEqual(done.stdout.splitlines()[-1], "17")
                if level != "-O0" and "LINE_HAS_NO_CODE" in done.stderr:
                    continue
                self.assertEqual(len(snapshots), 1, (compiler, level, done.stderr))
                yield compiler, level, snapshots[0]

    def expect(self, found_in, expected, level, what):
        for name, value in expected.items():
            found = harness.variable(found_in, name)
            if level == "-O0":
                self.assertIsNotNone(found, (what, name))
                self.assertEqual(found["status"], "EXACT", (what, found))
            if found is not None and "value" in found:
                self.assertEqual(found["value"], value, (what, name))

    def test_parameters_and_locals(self):
        for compiler, level, snapshot in self.hits("mark-coroutine", ("-O0", "-O1", "-O2")):
            frame = snapshot["frames"][0]
            self.expect(frame, COUNT, level, (compiler, level))

    def test_this_of_a_member(self):
        for compiler, level, snapshot in self.hits("mark-member", ("-O0", "-O1", "-O2")):
            # Clang 14 does not say where the part that is resumed finds `this`.
            expected = {name: value for name, value in SERVE.items()
                        if compiler != "clang++-14" or not name.startswith("this")}
            self.expect(snapshot["frames"][0], expected, level, (compiler, level))

    def test_parts_have_names(self):
        for compiler, level, snapshot in self.hits("mark-coroutine", ("-O0",)):
            name = snapshot["frames"][0]["function"]
            self.assertTrue(name.startswith("shop::Count(int, std::"), (compiler, level, name))
            self.assertTrue(name.endswith(") [resumed]"), (compiler, level, name))
            callers = [frame["function"] for frame in snapshot["frames"]]
            self.assertTrue(any("coroutine_handle" in f for f in callers), callers)
            names = [v["name"] for v in snapshot["frames"][0]["variables"]]
            for noise in ("_Coro_resume_fn", "Is", "Fs", "Yd0"):
                self.assertNotIn(noise, names)


if __name__ == "__main__":
    unittest.main()
