"""Parameters that a function does without, from the call site (DW_OP_GNU_parameter_ref), against what
the program prints."""
import re
import shutil
import unittest

import harness

SOURCE = "dropped_parameters.cc"
MARKS = ("mark-unused", "mark-members", "mark-inner", "mark-outer")


class DroppedParametersTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def look(self, compiler, flags):
        """By mark and name: (status, reason, value); what the program prints is never contradicted."""
        program = harness.compile_target(SOURCE, compiler, ("-g", *flags))
        done, snapshots = harness.run_with_file(program, [
            {"id": mark, "location": {"file": SOURCE, "line": harness.line_of(SOURCE, mark)}}
            for mark in MARKS])
        self.assertEqual({s["tracepointId"] for s in snapshots}, set(MARKS), done.stderr)
        seen = {}
        for snapshot in snapshots:
            mark = snapshot["tracepointId"]
            told = dict(re.findall(r"(\w+)=([\d.]+)", re.search(mark + ".*", done.stdout).group()))
            for name, value in told.items():
                found = harness.variable(snapshot["frames"][0], name)
                if "value" in found:
                    self.assertEqual(found["value"], value, (mark, name))
                else:
                    self.assertTrue(found["reason"])
                seen[mark, name] = (found["status"], found.get("reason"), found.get("value"))
        return seen

    def test_what_the_caller_would_have_passed(self):
        for compiler in ("g++", "clang++-14", "clang++-19"):
            if shutil.which(compiler) is None:
                continue
            for flags in (("-O1",), ("-O2",), ("-O2", "-gdwarf-4"), ("-O3",), ("-Os",)):
                with self.subTest(compiler=compiler, flags=flags):
                    seen = self.look(compiler, flags)
                    # GCC describes them, and Clang does not: it leaves them out.
                    if compiler == "g++" and flags[0] in ("-O2", "-O3"):
                        for where in (("mark-unused", "never"), ("mark-outer", "spare"),
                                      ("mark-members", "rate")):
                            self.assertEqual(seen[where][:2], ("RECOVERED", "entry value"), where)


if __name__ == "__main__":
    unittest.main()
