"""Thread-locals of other modules, of modules that come and go, and of threads that have none yet."""
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

NAMES = ("data::t_number", "data::t_config[1]", "t_choice", "t_own", "t_hidden", "Pool::t_size")
PLUGIN = "thread_locals_plugin.cc"


class ThreadLocalsTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-thread-locals-"))
        self.addCleanup(shutil.rmtree, self.folder)

    def build(self, compiler, *flags):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.folder))

        def compile_(out, *arguments):
            subprocess.run([compiler, "-std=c++20", "-O2", "-g", "-o", str(folder / out), *flags,
                            *map(str, arguments)], check=True)

        targets = harness.TARGETS
        compile_("libdata.so", "-shared", "-fPIC", targets / "thread_locals_data.cc")
        compile_("libuser.so", "-shared", "-fPIC", targets / "thread_locals_user.cc",
                 folder / "libdata.so")
        for name, number, size, model in (("one", 100, 300, "global-dynamic"),
                                          ("two", 200, 300, "global-dynamic"),
                                          ("fixed", 300, 3, "initial-exec")):
            compile_(f"lib{name}.so", "-shared", "-fPIC", f"-ftls-model={model}",
                     f"-DPLUGIN={number}", f"-DSIZE={size}", targets / PLUGIN)
        compile_("program", targets / "thread_locals.cc", folder / "libuser.so",
                 folder / "libdata.so", f"-Wl,-rpath,{folder}", "-ldl", "-pthread")
        return [folder / "program", *(folder / f"lib{name}.so" for name in ("one", "two", "fixed"))]

    def capture(self, command, source, mark, names):
        """The program's output, and of each expression what its snapshots say, in their order."""
        done, snapshots = harness.run_with_file(
            command[0], [{"location": {"file": source, "line": harness.line_of(source, mark)},
                          "id": name, "expressions": [name],
                          "limits": {"maxHits": 20, "perSecond": 1000, "perTrace": 0}}
                         for name in names], args=command[1:])
        self.assertEqual(done.returncode, 0, done.stderr)
        found = {name: [] for name in names}
        for snapshot in sorted(snapshots, key=lambda each: each["time"]):
            value, = snapshot["expressions"]
            if value["status"] != "EXACT":
                self.assertTrue(value.get("reason"), value)
            found[snapshot["tracepointId"]].append(value.get("value") or value["reason"])
        return done.stdout, found

    def check(self, command, declared=True):
        for mark, source, who in (("mark-user", "thread_locals_user.cc", "library"),
                                  ("mark-program", "thread_locals.cc", "program")):
            names = NAMES if who == "library" else NAMES[:4] + NAMES[5:]
            if not declared:
                names = ("t_choice", "t_own", "t_hidden") if who == "library" else ("t_choice",)
            output, found = self.capture(command[:1], source, mark, names)
            truths = [dict(word.split("=") for word in line.split()[2:])
                      for line in output.splitlines() if line.startswith("truth " + who)]
            self.assertEqual(len(truths), 4, output)
            for name in names:
                self.assertEqual(found[name], [truth[name] for truth in truths], (who, name))
        # The thread has never used it: it has the value that threads begin with.
        _, found = self.capture(command[:1], "thread_locals_user.cc", "mark-untouched",
                                ["t_hidden"])
        self.assertEqual(found, {"t_hidden": ["21"]})

    def check_plugins(self, command):
        output, found = self.capture(command, PLUGIN, "mark-plugin", ["t_plugin[0]"])
        self.assertEqual([line for line in output.splitlines() if line.startswith("truth plugin")],
                         [f"truth plugin t_plugin[0]={n}" for n in (103, 204, 205, 306)])
        self.assertEqual(found["t_plugin[0]"],
                         ["103", "204", "THREAD_LOCAL_NOT_ALLOCATED", "205", "306"])

    def test_gcc(self):
        for flags in ((), ("-ftls-model=initial-exec",), ("-gsplit-dwarf",)):
            with self.subTest(flags=flags):
                command = self.build("g++", *flags)
                self.check(command)
                if "initial-exec" not in "".join(flags):
                    self.check_plugins(command)

    def test_clang(self):
        """It does not describe what is only declared."""
        for compiler in ("clang++-14", "clang++-19"):
            with self.subTest(compiler=compiler):
                command = self.build(compiler)
                self.check(command, declared=False)
                self.check_plugins(command)
                self.check(self.build(compiler, "-gsplit-dwarf"), declared=False)


if __name__ == "__main__":
    unittest.main(verbosity=2)
