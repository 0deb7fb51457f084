"""Binaries as they are found: two files of one name, a library without debug information."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

UTIL = """\
#include "util.h"
__attribute__((noinline)) int NAME(int n) {
  asm volatile("" : : "r"(n));
  return n + 1;
}
"""

LIBRARY = """\
extern "C" __attribute__((noinline, visibility("default"))) int Middle(int (*call)(int), int n) {
  const int twice = n * 2;
  const int result = call(twice);
  asm volatile("" : : "r"(result));
  return result + n;
}
"""

MAIN = """\
#include <cstdio>
#include "util.h"
extern "C" int Middle(int (*call)(int), int n);
__attribute__((noinline)) int Inner(int n) {
  asm volatile("" : : "r"(n));
  return n + 1;  // mark-inner
}
int main() {
  std::printf("%d\\n", Middle(Inner, 20) + First(1) + Second(2));
  return 0;
}
"""


class BinariesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-binaries-"))
        for part, name in (("one", "First"), ("two", "Second")):
            (cls.folder / part).mkdir()
            (cls.folder / part / "util.cc").write_text(UTIL.replace("NAME", name))
        (cls.folder / "util.h").write_text("int First(int);\nint Second(int);\n")
        (cls.folder / "library.cc").write_text(LIBRARY)
        (cls.folder / "main.cc").write_text(MAIN)
        cls.run_in("g++", "-O2", "-fPIC", "-shared", "-o", "libmiddle.so", "library.cc")
        cls.run_in("strip", "-s", "libmiddle.so")
        cls.run_in("g++", "-O2", "-g", "-I.", "-o", "main", "main.cc", "one/util.cc", "two/util.cc",
                   "-L.", "-lmiddle", f"-Wl,-rpath,{cls.folder}")
        cls.program = cls.folder / "main"

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def run_in(cls, *command):
        subprocess.run(command, cwd=cls.folder, check=True)

    def hit(self, file, line):
        done, snapshots = harness.run_with_file(self.program,
                                                [{"location": {"file": file, "line": line}}])
        self.assertEqual(done.stdout, "66\n")
        return done.stderr, snapshots

    def test_an_ambiguous_file_names_the_candidates(self):
        said, snapshots = self.hit("util.cc", 4)
        self.assertEqual(snapshots, [])
        self.assertIn("AMBIGUOUS_FILE", said)
        self.assertIn("one/util.cc", said)
        self.assertIn("two/util.cc", said)
        _, snapshots = self.hit("two/util.cc", 4)
        self.assertEqual([s["frames"][0]["function"] for s in snapshots], ["Second(int)"])
        offline = subprocess.run([str(harness.CLI), "variables", str(self.program), "util.cc:4"],
                                 capture_output=True, text=True, timeout=60)
        self.assertEqual(offline.returncode, 1)
        self.assertRegex(offline.stderr, "AMBIGUOUS_FILE.*one/util.cc.*two/util.cc")

    def test_a_stripped_library_is_a_frame_with_its_symbol_and_no_variables(self):
        line = MAIN.splitlines().index("  return n + 1;  // mark-inner") + 1
        _, snapshots = self.hit("main.cc", line)
        frames = snapshots[0]["frames"]
        self.assertEqual([f["function"] for f in frames[:3]], ["Inner(int)", "Middle", "main()"])
        middle = frames[1]
        self.assertEqual(middle["module"], "libmiddle.so")
        self.assertEqual(middle["variables"], [])
        self.assertEqual(middle["variablesReason"], "NO_DEBUG_INFO")
        self.assertEqual(harness.variable(frames[0], "n")["value"], "40")
        self.assertEqual(frames[2]["line"], 9)


if __name__ == "__main__":
    unittest.main(verbosity=2)
