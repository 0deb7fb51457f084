"""Debuggers, uprobes, freezes and clock jumps while probes are hit and toggled."""
import atexit
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness
import hosts
from hosts import HostTest, tracepoint



def find_tracefs():
    """A folder where uprobes can be made, or None. Root may mount one for as long as we run."""
    for folder in ("/sys/kernel/tracing", "/sys/kernel/debug/tracing"):
        if os.access(folder + "/uprobe_events", os.W_OK):
            return folder
    if os.getuid() != 0:
        return None
    folder = tempfile.mkdtemp(prefix="sf-tracefs-")
    if subprocess.run(["mount", "-t", "tracefs", "none", folder], capture_output=True).returncode:
        os.rmdir(folder)
        return None
    atexit.register(lambda: (subprocess.run(["umount", folder]), os.rmdir(folder)))
    return folder if os.access(folder + "/uprobe_events", os.W_OK) else None


TRACEFS = find_tracefs()


def append(path, text):
    """Python's own append mode looks for the end, which these files do not have."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


class Host:
    """steady.cc under the agent, talked to over its standard input."""

    def __init__(self, test, tracepoints, env=None):
        self.test = test
        self.wanted = tracepoints
        folder = tempfile.TemporaryDirectory(prefix="sf-host-")
        test.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.errors = open(self.folder / "stderr", "w+", encoding="utf8", errors="replace")
        test.addCleanup(self.errors.close)
        self.process = subprocess.Popen(
            [str(test.program)], env=hosts.file_mode(self.folder, tracepoints, **(env or {})),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        test.addCleanup(self.process.kill)
        test.assertEqual(self.process.stdout.readline(), "ready\n")

    def said(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def want(self, tracepoints):
        self.wanted = tracepoints
        hosts.write_tracepoints(self.folder, tracepoints)

    def differences(self):
        return harness.text_differences(self.process.pid)

    def stop(self):
        out, _ = self.process.communicate("stop\n", timeout=30)
        self.test.assertEqual(self.process.returncode, 0, self.said()[-2000:])
        self.test.assertEqual(out, "wrong 0\n", self.said()[-2000:])
        outcome = hosts.Outcome(0, out, self.said(), hosts.snapshots(self.folder))
        self.test.check_identities(outcome, self.wanted)
        return outcome


class DisturbanceTest(HostTest):
    def setUp(self):
        self.program = harness.compile_target("steady.cc", extra=("-rdynamic", "-ldl"))
        self.declined = [tracepoint("steady.cc", "mark-step", condition="value == -7")]
        self.line = harness.line_of("steady.cc", "mark-step")

    def toggled(self, host, times=3):
        """Takes the probe out and puts it in again; the text follows."""
        for _ in range(times):
            host.want([])
            harness.wait_for("the original text", lambda: host.differences() == 0)
            host.want(self.declined)
            harness.wait_for("the patch", lambda: host.differences() > 0)

    def gdb(self, pid, *commands, timeout=60):
        words = [word for command in commands for word in ("-ex", command)]
        return subprocess.run(["gdb", "-nx", "-batch", "-p", str(pid), *words],
                              capture_output=True, text=True, timeout=timeout).stdout

    @unittest.skipIf(shutil.which("gdb") is None, "no gdb")
    def test_debugger_attaches_and_goes(self):
        host = Host(self, self.declined)
        for _ in range(3):
            self.gdb(host.process.pid, "info threads", "thread apply all bt 3", "detach")
            self.assertEqual(host.ask("steps"), "going")
        self.toggled(host)
        outcome = host.stop()
        self.assertGreater(outcome.counters("mark-step")["conditionFalse"], 0)

    @unittest.skipIf(shutil.which("gdb") is None, "no gdb")
    def test_debugger_with_a_breakpoint_on_the_same_line(self):
        host = Host(self, self.declined)
        said = self.gdb(host.process.pid, f"break steady.cc:{self.line}", "continue", "continue 5",
                        "bt 2", "delete", "detach")
        self.assertIn("Breakpoint 1", said)
        self.assertEqual(host.ask("steps"), "going")
        self.toggled(host)
        host.stop()

    @unittest.skipIf(shutil.which("gdb") is None, "no gdb")
    def test_probe_that_goes_while_the_debugger_has_a_breakpoint_there(self):
        """The bytes are not ours then: they are left alone, and nothing breaks."""
        host = Host(self, self.declined)
        # The agent's thread goes on while the others stand at the breakpoint, in non-stop fashion
        # by continuing often; the desired set changes in the middle.
        empty = self.folder_script(host, [])
        said = self.gdb(host.process.pid, f"break steady.cc:{self.line} if value == 999", "continue",
                        f"shell {empty}", "continue 5", "delete", "detach")
        self.assertIn("Breakpoint 1", said)
        self.assertEqual(host.ask("steps"), "going")
        host.want([])
        host.stop()

    def folder_script(self, host, wanted):
        """A command that replaces the tracepoints."""
        script = host.folder / "change.sh"
        hosts.write_tracepoints(host.folder, wanted)
        shutil.copy(host.folder / "tracepoints.json", host.folder / "next.json")
        hosts.write_tracepoints(host.folder, host.wanted)
        script.write_text(f"cp {host.folder}/next.json {host.folder}/tmp.json\n"
                          f"mv {host.folder}/tmp.json {host.folder}/tracepoints.json\n")
        return f"sh {script}"

    @unittest.skipIf(shutil.which("gdb") is None, "no gdb")
    def test_breakpoint_first_then_the_probe(self):
        """Compare before write: a site that holds a breakpoint is refused with a reason."""
        host = Host(self, [])
        armed = self.folder_script_of(host, self.declined)
        self.gdb(host.process.pid, f"break steady.cc:{self.line} if value == 999", "continue",
                 f"shell {armed}", "continue 5", "delete", "detach")
        self.assertEqual(host.ask("steps"), "going")
        host.wanted = self.declined
        # Refused while the breakpoint was there, armed if the agent looked later: both are right,
        # a crash or a wrong sum is not.
        harness.wait_for("a word about it",
                         lambda: re.search(r"tracepoint mark-step: (ARMED|ERROR)", host.said()))
        host.stop()

    def folder_script_of(self, host, wanted):
        host_wanted, host.wanted = host.wanted, []
        command = self.folder_script(host, wanted)
        host.wanted = host_wanted
        return command

    @unittest.skipIf(TRACEFS is None, "no uprobes here: not root, or no tracefs")
    def test_uprobe_on_the_same_line(self):
        symbols = subprocess.run(["nm", str(self.program)], capture_output=True, text=True).stdout
        offset = int(re.search(r"^(\w+) t _ZL?4Stepl$|^(\w+) T _Z4Stepl$", symbols, re.M).group(2),
                     16)
        events = pathlib.Path(TRACEFS)
        for first in ("uprobe", "probe"):
            with self.subTest(first=first):
                host = Host(self, [] if first == "uprobe" else self.declined)
                name = f"sf_{os.getpid()}_{first}"
                append(events / "uprobe_events", f"p:{name}/step {self.program}:0x{offset:x}\n")
                try:
                    (events / "events" / name / "step" / "enable").write_text("1")
                    host.want(self.declined)
                    harness.wait_for("a word about it", lambda: re.search(
                        r"tracepoint mark-step: (ARMED|ERROR)", host.said()))
                    self.assertEqual(host.ask("steps"), "going")
                    (events / "events" / name / "step" / "enable").write_text("0")
                finally:
                    append(events / "uprobe_events", f"-:{name}/step\n")
                self.assertEqual(host.ask("steps"), "going")
                host.stop()

    def test_stopped_for_two_seconds(self):
        host = Host(self, self.declined)
        for _ in range(2):
            os.kill(host.process.pid, signal.SIGSTOP)
            time.sleep(2)  # the freeze itself
            os.kill(host.process.pid, signal.SIGCONT)
            self.assertEqual(host.ask("steps"), "going")
        self.toggled(host)
        host.stop()

    def test_clock_jumps_are_labels_only(self):
        host = Host(self, [tracepoint("steady.cc", "mark-step", limits={
            "maxHits": 1000000, "perSecond": 20, "expiresIn": "3600s"})])
        years = 10 * 365 * 86400
        for seconds in (years, -years, 0):
            self.assertEqual(host.ask(f"clock {seconds}"), "done")
            # The label follows the program's clock, and there are always more of them.
            year = time.gmtime(time.time() + seconds).tm_year
            seen = len(hosts.snapshots(host.folder))
            harness.wait_for("snapshots after the jump", lambda: sum(
                int(snapshot["time"][:4]) == year
                for snapshot in hosts.snapshots(host.folder)[seen:]) >= 5)
        self.assertNotIn("EXPIRED", host.said())
        host.stop()

    def test_tracepoint_expires_by_its_own_clock(self):
        host = Host(self, [tracepoint("steady.cc", "mark-step", condition="value == -7",
                                      limits={"maxHits": 10, "perSecond": 20, "expiresIn": "2s"})])
        self.assertEqual(host.ask(f"clock {-10 * 365 * 86400}"), "done")
        harness.wait_for("the end of its life",
                         lambda: "mark-step: EXPIRED" in host.said(), seconds=15)
        harness.wait_for("the original text", lambda: host.differences() == 0)
        host.stop()


if __name__ == "__main__":
    unittest.main(verbosity=2)
