"""Files behind running code that are renamed, replaced and deleted, as package upgrades do, named by
paths that lead nowhere any more, or not the kernel's program: tracepoints go on, the program too."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import harness

LOADER = "/lib64/ld-linux-x86-64.so.2"


class Conversation:
    """A program that does what it is told, with the agent in file mode."""

    def __init__(self, command, folder, user=None):
        self.wanted = pathlib.Path(folder) / "tracepoints.json"
        self.output = pathlib.Path(folder) / "snapshots.jsonl"
        self.said = pathlib.Path(folder) / "stderr"
        self.want([])
        env = harness.agent_env(STILLFRAME_TRACEPOINTS=self.wanted, STILLFRAME_OUTPUT=self.output,
                                STILLFRAME_LOG="info", STILLFRAME_START_WAIT="20s")
        with open(self.said, "wb") as said:
            self.process = subprocess.Popen(command, env=env, cwd=folder, stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=said, text=True,
                                            user=user)
        self.words, self.answers = [], []

    def want(self, marks):
        tracepoints = []
        for mark in marks:
            file = {"mark-library": "moved_library.cc", "mark-shared": "moved.h"}.get(
                mark, "moved.cc")
            tracepoints.append({"id": mark,
                                "location": {"file": file, "line": harness.line_of(file, mark)},
                                "limits": {"maxHits": 10000, "perSecond": 1000, "perTrace": 0}})
        new = self.wanted.with_suffix(".new")
        new.write_text(json.dumps({"tracepoints": tracepoints}))
        new.rename(self.wanted)

    def tell(self, *lines):
        for line in lines:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            self.words.append(line)
            self.answers.append(self.process.stdout.readline())

    def log(self):
        return self.said.read_text()

    def wait_for_log(self, text):
        harness.wait_for(f"'{text}' in the log", lambda: text in self.log())

    def snapshots(self, mark):
        lines = self.output.read_text().split("\n") if self.output.exists() else []
        found = [json.loads(line) for line in lines[:-1]]
        return [one for one in found if one["tracepointId"] == mark]

    def wait_for_snapshots(self, mark, count):
        harness.wait_for(f"{count} snapshots of {mark}", lambda: len(self.snapshots(mark)) >= count)
        return self.snapshots(mark)

    def end(self):
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        code = self.process.wait(timeout=30)
        harness.check_final_accounting(self.log())
        return code, "".join(self.answers) + rest


class MovedTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-moved-"))
        self.addCleanup(shutil.rmtree, self.folder)
        build = ["-Wl,--build-id"]
        shutil.copy(harness.compile_target("moved.cc", extra=build), self.folder / "program")
        for number in (1, 2):
            extra = ("-shared", "-fPIC", *build, f"-DNUMBER={number}")
            shutil.copy(harness.compile_target("moved_library.cc", extra=extra),
                        self.folder / f"lib{number}.so")

    def start(self, *command, user=None):
        self.folder.chmod(0o777)
        self.talk = Conversation(command or [str(self.folder / "program")], self.folder, user)
        self.addCleanup(self.talk.process.kill)
        return self.talk

    def finish(self, least):
        """It ended as it does without the agent, and each step said what it is known to say."""
        code, output = self.talk.end()
        self.assertEqual(code, 3, self.talk.log()[-2000:])
        expected = "".join(
            f"{line.split()[0]} {least.get(line.split()[0], 0) + (n if line in least else 0)}\n"
            for n, line in enumerate(self.talk.words))
        self.assertEqual(output, expected, self.talk.log()[-2000:])

    def check_text(self, snapshot, text, module):
        frame = snapshot["frames"][0]
        self.assertEqual(frame["module"], module)
        self.assertEqual(harness.variable(frame, "text")["value"], f'"{text}"', snapshot)

    def test_the_program_is_replaced_while_tracepoints_are_set(self):
        """What the kernel calls its file changes: it was taken for unloaded when the next library
        came, its probes were set a second time over the first, and it crashed."""
        for change in (["rename other program"], ["delete program"], ["rename program old"],
                       ["rename program old", "rename other program"]):
            with self.subTest(change=change):
                self.setUp()
                shutil.copy(self.folder / "program", self.folder / "other")
                subprocess.run(["objcopy", "--strip-all", self.folder / "other"], check=True)
                talk = self.start()
                talk.want(["mark-program"])
                talk.wait_for_log("mark-program: ARMED")
                talk.tell("program", *change, "load libz.so.1", "program")
                talk.want(["mark-program", "mark-library"])  # looks at the modules again
                talk.wait_for_log("mark-library: PENDING")
                talk.tell("load ./lib1.so")
                talk.wait_for_log("mark-library: ARMED")
                talk.tell(*["program", "library"] * 5, "load libm.so.6", "program")
                snapshots = talk.wait_for_snapshots("mark-program", 8)
                self.assertEqual(len(snapshots), 8)
                for snapshot in snapshots:
                    self.assertIn(snapshot["frames"][0]["module"], ("program", "old"))
                    self.check_text(snapshot, "ppp", snapshot["frames"][0]["module"])
                self.assertEqual(len(talk.wait_for_snapshots("mark-library", 5)), 5)
                self.assertNotIn("MODULE_UNLOADED", talk.log())
                self.finish({"program": 3, "library": 4, "load": 1})

    def test_tracepoints_are_set_when_the_program_is_replaced(self):
        shutil.copy(self.folder / "lib1.so", self.folder / "other")
        talk = self.start()
        talk.tell("rename other program")
        talk.want(["mark-program"])
        talk.wait_for_log("mark-program: ARMED")
        talk.tell("program")
        self.check_text(talk.wait_for_snapshots("mark-program", 1)[0], "ppp", "program")
        self.finish({"program": 3})

    def test_a_library_of_a_relative_path_in_a_folder_that_was_left(self):
        talk = self.start()
        talk.tell("load ./lib1.so", "leave /")
        talk.want(["mark-library"])
        talk.wait_for_log("mark-library: ARMED")
        talk.tell("library", "load libz.so.1", "library")
        for snapshot in talk.wait_for_snapshots("mark-library", 2):
            self.check_text(snapshot, "llll", "lib1.so")
        self.finish({"library": 4, "load": 1})

    def test_a_line_of_a_header_that_a_later_library_has_too(self):
        """Armed in the program, it stayed so: the library's hits were none."""
        talk = self.start()
        talk.want(["mark-shared"])
        talk.wait_for_log("mark-shared: ARMED")
        talk.tell("shared", "load ./lib1.so")

        def modules():
            talk.tell("library")
            return {snapshot["frames"][0]["module"] for snapshot in talk.snapshots("mark-shared")}
        harness.wait_for("the library's hits", lambda: "lib1.so" in modules())
        talk.tell("shared", "shared")
        harness.wait_for("the program's hits", lambda: len(
            [s for s in talk.snapshots("mark-shared")
             if s["frames"][0]["module"] == "program"]) == 3)
        self.finish({"shared": 1, "library": 4, "load": 1})

    def test_a_program_that_the_loader_was_told_to_run(self):
        """As aws-lambda-cpp packs functions: the kernel's program is the loader."""
        if not os.path.exists(LOADER):
            self.skipTest("the loader is elsewhere")
        talk = self.start(LOADER, "./program")
        talk.want(["mark-program"])
        talk.wait_for_log("mark-program: ARMED")
        talk.tell("program", "load ./lib1.so", "program")
        for snapshot in talk.wait_for_snapshots("mark-program", 2):
            self.check_text(snapshot, "ppp", "program")
            self.assertEqual(snapshot["service"], "program")
        self.finish({"program": 3, "load": 1})

    def replaced_library(self, change):
        """The kernel lets the privileged open what is mapped; others are told what was not read."""
        privileged = os.geteuid() == 0
        for user in (None, 65534) if privileged else (None,):
            with self.subTest(user=user):
                self.setUp()
                talk = self.start(user=user)
                talk.tell("load ./lib1.so", change)
                talk.want(["mark-library", "mark-program"])
                talk.wait_for_log("mark-program: ARMED")
                if self.can_open_mapped(talk.process.pid):
                    talk.wait_for_log("mark-library: ARMED")
                    talk.tell("library", "program")
                    snapshot = talk.wait_for_snapshots("mark-library", 1)[0]
                    self.check_text(snapshot, "llll", "lib1.so")
                else:
                    talk.wait_for_log("mark-library: PENDING")
                    self.assertRegex(talk.log(), r"mark-library: PENDING \(?FILE_NOT_FOUND: .*"
                                     r"; not looked at: lib1.so: ")
                    talk.tell("library", "program")
                self.check_text(talk.wait_for_snapshots("mark-program", 1)[0], "ppp", "program")
                self.finish({"library": 4, "program": 3, "load": 1})

    def can_open_mapped(self, pid):
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        capabilities = int(next(line for line in status.split("\n")
                                if line.startswith("CapEff:")).split()[1], 16)
        return capabilities & (1 << 21 | 1 << 40) != 0  # CAP_SYS_ADMIN, CAP_CHECKPOINT_RESTORE

    def test_a_library_that_was_upgraded(self):
        """Never another build's values."""
        self.replaced_library("rename lib2.so lib1.so")

    def test_a_library_that_was_deleted(self):
        self.replaced_library("delete lib1.so")


if __name__ == "__main__":
    try:
        unittest.main(verbosity=2)
    finally:
        harness.cleanup_targets()
