"""Debug information wherever compilers and packagers put it; and what is said when it is not there."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

HEADER = """\
#pragma once
#include <string>
#include <vector>
struct Order {
  int id;
  std::string name;
  std::vector<int> items;
};
int Handle(const Order& order, int extra);
"""

LIBRARY = """\
#include "order.h"
__attribute__((noinline)) int Handle(const Order& order, int extra) {
  int sum = extra;
  for (int item : order.items) sum += item;
  asm volatile("" : : "r"(sum), "r"(&order), "r"(extra));
  return sum + order.id + extra;  // mark-sum
}
"""

MAIN = """\
#include <cstdio>
#include "order.h"
int main(int argc, char**) {
  Order order{argc + 6, "a name that is longer than fifteen", {1, 2, 3}};
  std::printf("%d\\n", Handle(order, 10));
}
"""

LINE = LIBRARY.splitlines().index("  return sum + order.id + extra;  // mark-sum") + 1
SOURCES = ("library.cc", "main.cc")


class DebugFilesTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-debug-files-"))
        self.addCleanup(shutil.rmtree, self.folder)
        for name, text in (("order.h", HEADER), ("library.cc", LIBRARY), ("main.cc", MAIN)):
            (self.folder / name).write_text(text)

    def run_in(self, *command):
        subprocess.run(command, cwd=self.folder, check=True, timeout=120)

    def compile(self, *flags, compiler="g++"):
        self.run_in(compiler, "-O1", "-g", *flags, *SOURCES, "-o", "program")

    def hit(self, **env):
        """(what the agent says, the snapshot or None); the program is not changed by it."""
        done, snapshots = harness.run_with_file(
            self.folder / "program", [{"location": {"file": "library.cc", "line": LINE}}], env=env)
        self.assertEqual(done.stdout, "33\n")
        self.assertLessEqual(len(snapshots), 1)
        return done.stderr, snapshots[0] if snapshots else None

    def assert_full(self, **env):
        """Names and values, in the frame and in its caller."""
        said, snapshot = self.hit(**env)
        self.assertIsNotNone(snapshot, said)
        frame, caller = snapshot["frames"][:2]
        self.assertEqual(frame["function"], "Handle(Order const&, int)")
        self.assertEqual(harness.variable(frame, "order.id")["value"], "7")
        self.assertEqual(harness.variable(frame, "order.name")["value"],
                         '"a name that is longer than fifteen"')
        self.assertEqual(harness.variable(frame, "order.items.[2]")["value"], "3")
        self.assertEqual(harness.variable(frame, "extra")["value"], "10")
        self.assertEqual(caller["function"], "main(int, char**)")
        self.assertEqual(harness.variable(caller, "order.id")["value"], "7")

    def assert_refused(self, reason, *texts):
        said, snapshot = self.hit()
        self.assertIsNone(snapshot)
        for text in (reason, *texts):
            self.assertIn(text, said)

    def test_compressed(self):
        for flags in (("-gz=zlib",), ("-gz=zlib-gnu",)):
            with self.subTest(flags=flags):
                self.compile(*flags)
                self.assert_full()

    def assert_compressed_by_zstd(self, path, section="debug_info"):
        sections = subprocess.run(["readelf", "-tW", path], cwd=self.folder, capture_output=True,
                                  text=True, check=True).stdout
        self.assertRegex(sections, rf"\.{section}\n.*\n.*COMPRESSED.*\n\s+ZSTD")

    def test_compressed_by_zstd(self):
        self.compile()
        self.run_in("objcopy", "--compress-debug-sections=zstd", "program")
        self.assert_compressed_by_zstd("program")
        self.assert_full()
        self.run_in("objcopy", "--only-keep-debug", "program", "program.debug")
        self.run_in("strip", "-s", "program")
        self.run_in("objcopy", "--add-gnu-debuglink=program.debug", "program")
        self.assert_compressed_by_zstd("program.debug")
        self.assert_full()

    def test_compressed_by_clangs_zstd(self):
        if not shutil.which("clang++-19"):
            self.skipTest("no Clang 19")
        self.compile("-gz=zstd", compiler="clang++-19")
        self.assert_full()

    def test_split_units(self):
        for compiler, flags in (("g++", ()), ("g++", ("-gdwarf-4",)), ("clang++-14", ())):
            with self.subTest(compiler=compiler, flags=flags):
                self.compile("-gsplit-dwarf", *flags, compiler=compiler)
                self.assert_full()

    def test_split_units_with_type_units(self):
        for compiler, flags in (("g++", ("-gdwarf-4",)), ("g++", ()), ("clang++-14", ("-gdwarf-4",)),
                                ("clang++-14", ())):
            with self.subTest(compiler=compiler, flags=flags):
                self.compile("-gsplit-dwarf", "-fdebug-types-section", *flags, compiler=compiler)
                self.assert_full()

    def compress_split_units(self):
        files = list(self.folder.glob("*.dwo"))
        for file in files:
            self.run_in("objcopy", "--compress-debug-sections=zstd", file.name)
            self.assert_compressed_by_zstd(file.name, section="debug_info.dwo")
        return files

    def test_split_units_compressed_by_zstd(self):
        for compiler, flags in (("g++", ()), ("g++", ("-gdwarf-4",)), ("clang++-14", ())):
            with self.subTest(compiler=compiler, flags=flags):
                self.compile("-gsplit-dwarf", *flags, compiler=compiler)
                self.compress_split_units()
                self.assert_full()
        if shutil.which("clang++-19"):
            self.compile("-gsplit-dwarf", "-gz=zstd", compiler="clang++-19")
            self.assert_full()

    def test_a_compressed_split_unit_that_is_damaged(self):
        self.compile("-gsplit-dwarf")
        for file in self.compress_split_units():
            sections = subprocess.run(["readelf", "-SW", file.name], cwd=self.folder, text=True,
                                      capture_output=True, check=True).stdout
            offset = int(re.search(r"\.debug_info\.dwo +PROGBITS +\w+ (\w+)", sections).group(1), 16)
            content = bytearray(file.read_bytes())
            content[offset + 32:offset + 48] = bytes(16)  # behind the header of the compression
            file.write_bytes(content)
        self.assert_refused("was split off", ".dwo: .debug_info.dwo does not decompress")

    def test_thread_locals_in_split_units(self):
        """GCC 12 writes the address of the initial value where the offset should stand."""
        (self.folder / "locals.cc").write_text("""\
#include <cstdio>
thread_local int outer = 3;
__attribute__((noinline)) int Count(int by) {
  static thread_local int inner = 7;
  inner += by;
  outer += by;
  return inner + outer;
}
int main() { std::printf("%d\\n", Count(1)); }
""")
        for compiler in filter(shutil.which, ("g++", "clang++-14", "clang++-19")):
            for version in ("-gdwarf-4", "-gdwarf-5"):
                for split in ([], ["-gsplit-dwarf"]):
                    with self.subTest(compiler=compiler, version=version, split=split):
                        self.run_in(compiler, "-O0", "-g", version, *split, "locals.cc", "-o",
                                    "program")
                        done, (snapshot,) = harness.run_with_file(
                            self.folder / "program", [{"location": {"file": "locals.cc", "line": 7},
                                                       "expressions": ["outer"]}])
                        self.assertEqual(done.stdout, "12\n")
                        inner = harness.variable(snapshot["frames"][0], "inner")
                        for value, truth in ((inner, "8"), (snapshot["expressions"][0], "4")):
                            self.assertEqual(value.get("value"), truth, value)

    def test_split_units_that_are_not_there(self):
        self.compile("-gsplit-dwarf")
        for file in self.folder.glob("*.dwo"):
            file.unlink()
        self.assert_refused("NO_DEBUG_INFO", "was split off", "library.dwo",
                            "no package (.dwp)")

    def pack(self, name="program.dwp", tool="dwp"):
        self.run_in(tool, "-e", "program", "-o", name)
        for file in self.folder.glob("*.dwo"):
            file.unlink()

    def test_packages_of_split_units(self):
        # GCC's DWARF 5 cannot be packed here: dwp of binutils 2.40 crashes, llvm-dwp does not end.
        for compiler, tool, flags in (
                ("g++", "dwp", ("-gdwarf-4",)),
                ("g++", "dwp", ("-gdwarf-4", "-fdebug-types-section")),
                ("g++", "dwp", ("-gdwarf-4", "-O2", "-gz")),
                ("clang++-14", "llvm-dwp-14", ("-gdwarf-4",)),
                # Type units that the package keeps once, with one of the units that had them.
                ("clang++-14", "llvm-dwp-14", ("-gdwarf-4", "-fdebug-types-section")),
                ("clang++-14", "llvm-dwp-14", ("-gdwarf-5", "-fdebug-types-section")),
                ("clang++-14", "llvm-dwp-14", ("-gdwarf-5", "-O2"))):
            with self.subTest(compiler=compiler, tool=tool, flags=flags):
                self.compile("-gsplit-dwarf", *flags, compiler=compiler)
                self.pack(tool=tool)
                self.assert_full()

    def test_packages_are_found_where_debug_files_are(self):
        self.compile("-gsplit-dwarf", "-gdwarf-4")
        (self.folder / "debug").mkdir()
        self.pack("debug/program.dwp")
        self.assert_refused("NO_DEBUG_INFO", "library.dwo", "no package (.dwp)")
        self.assert_full(STILLFRAME_DEBUG_PATH=str(self.folder / "debug"))
        self.run_in("objcopy", "--only-keep-debug", "program", "debug/program.debug")
        self.run_in("strip", "-s", "program")
        self.run_in("objcopy", "--add-gnu-debuglink=debug/program.debug", "program")
        self.assert_full(STILLFRAME_DEBUG_PATH=str(self.folder / "debug"))

    def test_packages_that_do_not_fit(self):
        text = (self.folder / "library.cc").read_text()
        (self.folder / "library.cc").write_text(text.replace("int sum = extra", "long sum = extra"))
        self.compile("-gsplit-dwarf", "-gdwarf-4")
        self.pack("other.dwp")
        (self.folder / "library.cc").write_text(text)
        self.compile("-gsplit-dwarf", "-gdwarf-4")
        for file in self.folder.glob("*.dwo"):
            file.unlink()
        shutil.copy(self.folder / "other.dwp", self.folder / "program.dwp")
        self.assert_refused("NO_DEBUG_INFO", "library.dwo", "program.dwp has no unit 0x")
        package = (self.folder / "other.dwp").read_bytes()
        (self.folder / "program.dwp").write_bytes(package[:len(package) // 2])
        self.assert_refused("NO_DEBUG_INFO", "library.dwo", "program.dwp")
        shutil.copy(self.folder / "program", self.folder / "program.dwp")
        self.assert_refused("NO_DEBUG_INFO", "program.dwp is no package of split units")

    def test_split_units_of_another_build(self):
        self.compile("-gsplit-dwarf")
        kept = {file.name: file.read_bytes() for file in self.folder.glob("*.dwo")}
        text = (self.folder / "library.cc").read_text()
        (self.folder / "library.cc").write_text(text.replace("int sum = extra", "long sum = extra"))
        self.compile("-gsplit-dwarf")
        for name, content in kept.items():
            (self.folder / name).write_bytes(content)
        self.assert_refused("BUILD_MISMATCH", "library.dwo, which is of another build")

    def test_link_time_optimization(self):
        self.compile("-O2", "-flto")
        self.assert_full()

    def test_type_units(self):
        self.compile("-fdebug-types-section")
        self.assert_full()

    def test_dwz(self):
        self.compile()
        self.run_in("dwz", "program")
        self.assert_full()

    def test_dwz_with_a_shared_file(self):
        self.compile()
        shutil.copy(self.folder / "program", self.folder / "other")
        self.run_in("dwz", "-m", "common.debug", "program", "other")
        self.assert_full()
        shutil.move(self.folder / "common.debug", self.folder / "kept.debug")
        self.assert_refused("NO_DEBUG_INFO", "common.debug", "(dwz), which is not there")
        shutil.copy(self.folder / "other", self.folder / "common.debug")
        self.assert_refused("BUILD_MISMATCH", "common.debug")
        notes = subprocess.run(["readelf", "-n", "kept.debug"], cwd=self.folder,
                               capture_output=True, text=True, check=True).stdout
        build_id = notes.split("Build ID: ")[1].split()[0]
        (self.folder / "debug/.build-id" / build_id[:2]).mkdir(parents=True)
        shutil.move(self.folder / "kept.debug",
                    self.folder / "debug/.build-id" / build_id[:2] / f"{build_id[2:]}.debug")
        self.assert_full(STILLFRAME_DEBUG_PATH=str(self.folder / "debug"))

    def test_separate_files(self):
        for flags in ((), ("-gz",)):
            for place in ("debug link", "build-id"):
                with self.subTest(flags=flags, place=place):
                    self.compile(*flags)
                    self.run_in("objcopy", "--only-keep-debug", "program", "program.debug")
                    self.run_in("strip", "-s", "program")
                    if place == "debug link":
                        self.run_in("objcopy", "--add-gnu-debuglink=program.debug", "program")
                        self.assert_full()
                        continue
                    self.assert_refused("NO_DEBUG_INFO", "build-id")
                    notes = subprocess.run(["readelf", "-n", "program"], cwd=self.folder,
                                           capture_output=True, text=True, check=True).stdout
                    build_id = notes.split("Build ID: ")[1].split()[0]
                    target = self.folder / "debug/.build-id" / build_id[:2]
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.move(self.folder / "program.debug", target / f"{build_id[2:]}.debug")
                    done, snapshots = harness.run_with_file(
                        self.folder / "program",
                        [{"location": {"file": "library.cc", "line": LINE}}],
                        env={"STILLFRAME_DEBUG_PATH": str(self.folder / "debug")})
                    self.assertEqual(len(snapshots), 1, done.stderr)

    def test_another_builds_file_is_refused(self):
        self.compile("-O2")
        self.run_in("objcopy", "--only-keep-debug", "program", "program.debug")
        self.compile()
        self.run_in("strip", "-s", "program")
        self.run_in("objcopy", "--add-gnu-debuglink=program.debug", "program")
        self.assert_refused("BUILD_MISMATCH", "program.debug has build-id")

    def test_lines_alone(self):
        """A frame without variables says why: they were never described."""
        for compiler, flag in (("g++", "-g1"), ("clang++-14", "-gline-tables-only")):
            with self.subTest(compiler=compiler):
                self.compile(flag, compiler=compiler)
                said, snapshot = self.hit()
                self.assertIsNotNone(snapshot, said)
                frame, caller = snapshot["frames"][:2]
                self.assertRegex(frame["function"], r"^Handle\(")
                self.assertEqual((frame["line"], frame["variables"]), (LINE, []))
                self.assertEqual(frame["variablesReason"], "NO_DEBUG_INFO")
                self.assertEqual(caller["variablesReason"], "NO_DEBUG_INFO")

    def test_symbols_in_a_stripped_program(self):
        """What Fedora leaves in its programs (.gnu_debugdata) names the frames of callers."""
        self.run_in("g++", "-O1", "-g", "-fPIC", "-shared", "library.cc", "-o", "liborder.so")
        (self.folder / "main.cc").write_text(MAIN.replace("int main(", """
static __attribute__((noinline)) int Hidden(const Order& order) { return Handle(order, 10) + 0 * order.id; }
int main(""").replace("Handle(order, 10));", "Hidden(order));"))
        self.run_in("g++", "-O1", "-fno-optimize-sibling-calls", "main.cc", "liborder.so",
                    "-Wl,-rpath," + str(self.folder), "-o", "program")
        self.run_in("sh", "-c", "nm program --format=posix --defined-only | "
                    "awk '$2 ~ /[Tt]/ {print $1}' | sort > names && "
                    "objcopy -S --only-keep-debug --keep-symbols=names program mini && xz mini && "
                    "strip -s program")
        said, snapshot = self.hit()
        self.assertNotIn("Hidden", snapshot["frames"][1]["function"])
        self.run_in("objcopy", "--add-section", ".gnu_debugdata=mini.xz", "program")
        said, snapshot = self.hit()
        self.assertEqual(harness.variable(snapshot["frames"][0], "order.id")["value"], "7")
        self.assertEqual(snapshot["frames"][1]["function"], "Hidden(Order const&)")
        self.assertEqual(snapshot["frames"][1]["variablesReason"], "NO_DEBUG_INFO")

    def test_a_function_without_variables_is_not_one_without_debug_information(self):
        (self.folder / "library.cc").write_text(LIBRARY + """
__attribute__((noinline)) void Nothing() { asm volatile("nop\\n nop\\n nop\\n nop\\n nop"); }
""")
        (self.folder / "main.cc").write_text(MAIN.replace(
            "int main", "void Nothing();\nint main").replace("  std::printf", "  Nothing();\n  std::printf"))
        self.compile()
        line = LIBRARY.count("\n") + 2
        done, snapshots = harness.run_with_file(
            self.folder / "program", [{"location": {"file": "library.cc", "line": line}}])
        self.assertEqual(len(snapshots), 1, done.stderr)
        self.assertNotIn("variablesReason", snapshots[0]["frames"][0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
