"""Data of other modules, as the code of each module sees it: copies, interposition, -Bsymbolic."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

NAMES = ("data::g_number", "data::g_config.level", "data::Registry::count", "g_shared", "g_choice",
         "g_own", "Pool::size", "data::g_fixed")


class ModuleGlobalsTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-globals-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def build(self, compiler, program_flags, user_flags, strip=False, debug=()):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))

        def compile_(out, *arguments):
            subprocess.run([compiler, "-std=c++20", "-O2", "-g", *debug, "-o", str(folder / out),
                            *map(str, arguments)], check=True)

        targets = harness.TARGETS
        compile_("libdata.so", "-shared", "-fPIC", targets / "module_globals_data.cc")
        compile_("libuser.so", "-shared", "-fPIC", targets / "module_globals_user.cc",
                 folder / "libdata.so", *user_flags)
        compile_("program", targets / "module_globals.cc", folder / "libuser.so",
                 folder / "libdata.so", f"-Wl,-rpath,{folder}", *program_flags)
        if strip:
            for name in ("libuser.so", "program"):
                for command in (["objcopy", "--only-keep-debug", name, name + ".debug"],
                                ["objcopy", "--strip-all", "--add-gnu-debuglink=" + name + ".debug",
                                 name]):
                    subprocess.run(command, cwd=folder, check=True)
        return folder / "program"

    def check(self, program, least):
        """Every value is the one that the module's code printed; `least` of them are there."""
        for mark, source in (("mark-user", "module_globals_user.cc"),
                             ("mark-program", "module_globals.cc")):
            done, snapshots = harness.run_with_file(
                program, [{"location": {"file": source, "line": harness.line_of(source, mark)},
                           "id": name, "expressions": [name],
                           "limits": {"maxHits": 10, "perSecond": 1000, "perTrace": 0}}
                          for name in NAMES])
            who = "library" if mark == "mark-user" else "program"
            truths = [dict(word.split("=") for word in line.split()[2:])
                      for line in done.stdout.splitlines() if line.split()[1] == who]
            found = {}
            for snapshot in snapshots:
                value, = snapshot["expressions"]
                if value["status"] == "EXACT":
                    found.setdefault(value["text"] if "text" in value else value["name"],
                                     []).append(value["value"])
                else:
                    self.assertTrue(value.get("reason"), value)
            for name, values in found.items():
                self.assertEqual(values, [truth[name] for truth in truths[:len(values)]],
                                 (mark, name, done.stderr))
            missing = [name for name in NAMES if name not in found]
            self.assertGreaterEqual(len(NAMES) - len(missing), least[who], (missing, done.stderr))

    def test_gcc(self):
        for flags in (["-fPIE", "-pie"], ["-fno-pie", "-no-pie"], ["-fPIC", "-pie"]):
            for user in ([], ["-Wl,-Bsymbolic"]):
                with self.subTest(program=flags, user=user):
                    self.check(self.build("g++", flags, user), {"library": 8, "program": 8})

    def test_separate_debug_files(self):
        self.check(self.build("g++", [], [], strip=True), {"library": 8, "program": 8})

    def test_split_debug_information(self):
        """What a .dwo file describes is exported by the library, not by the .dwo file."""
        for compiler, least in (("g++", 8), ("clang++-14", 3), ("clang++-19", 3)):
            with self.subTest(compiler=compiler):
                self.check(self.build(compiler, [], [], debug=["-gsplit-dwarf"]),
                           {"library": least, "program": least})

    def test_clang(self):
        """It does not describe what is only declared, but for static members."""
        for compiler in ("clang++-14", "clang++-19"):
            for flags in (["-fPIE", "-pie"], ["-fno-pie", "-no-pie"]):
                with self.subTest(compiler=compiler, program=flags):
                    self.check(self.build(compiler, flags, []), {"library": 3, "program": 3})


if __name__ == "__main__":
    unittest.main(verbosity=2)
