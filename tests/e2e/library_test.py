"""Probes in the C library itself: in what the host calls all the time, and in what we call."""
import re
import subprocess
import unittest

import harness
import hosts
from hosts import NO_LIMITS, HostTest

FUNCTIONS = {"malloc": "__libc_malloc", "free": "__libc_free",
             "pthread_mutex_lock": "__pthread_mutex_lock"}


def debug_file():
    """libc's separate debug file by its build-id, or None."""
    libc = next((word for word in subprocess.run(["ldd", "/bin/true"], capture_output=True,
                                                 text=True).stdout.split() if "libc.so" in word
                 and word.startswith("/")), None)
    notes = subprocess.run(["readelf", "-n", libc], capture_output=True, text=True).stdout
    build_id = re.search(r"Build ID: (\w\w)(\w+)", notes)
    path = f"/usr/lib/debug/.build-id/{build_id.group(1)}/{build_id.group(2)}.debug"
    return path if subprocess.run(["test", "-e", path]).returncode == 0 else None


def lines_of(debug, function):
    """Lines of a function as GDB has them: [(file, line)], the first in the function first."""
    said = subprocess.run(["gdb", "-batch", "-ex", f"info line {function}",
                           "-ex", f"info scope {function}", debug],
                          capture_output=True, text=True).stdout
    found = re.search(r'Line (\d+) of "([^"]+)"', said)
    return (found.group(2), int(found.group(1))) if found else None


class LibraryTest(HostTest):
    def setUp(self):
        self.debug = debug_file()
        if self.debug is None:
            self.skipTest("no debug information of the C library (Debian: libc6-dbg)")
        self.program = harness.compile_target("library_calls.cc")

    def wanted(self, names, **spec):
        tracepoints = []
        for name in names:
            file, line = lines_of(self.debug, name)
            # The line of the opening brace and those behind it: where code may be probed.
            for offset in range(0, 12):
                tracepoints.append({"id": f"{name}+{offset}", "limits": NO_LIMITS,
                                    "location": {"file": file, "line": line + offset}, **spec})
        return tracepoints

    def check(self, wanted, rounds):
        plain = hosts.run([self.program, rounds])
        outcome = hosts.run_with_agent([self.program, rounds], wanted, timeout=90,
                                       last_words=True)
        self.assertEqual(outcome.returncode, plain.returncode, outcome.stderr[-2000:])
        self.assertEqual(outcome.stdout, plain.stdout)
        armed = [tp for tp in wanted if tp["id"] in outcome.final and outcome.sites(tp["id"])]
        self.assertTrue(armed, outcome.stderr[-2000:])
        self.check_identities(outcome, wanted)
        return outcome, [tp["id"] for tp in armed]

    def test_what_the_host_calls_all_the_time(self):
        for spec in ({"condition": "1 == 2"}, {}):
            wanted = self.wanted(["__libc_malloc", "__libc_free", "___pthread_mutex_lock"], **spec)
            outcome, armed = self.check(wanted, 3000)
            print(f"{len(armed)} of {len(wanted)} lines armed")
            for name in ("__libc_malloc", "__libc_free"):
                counts = [outcome.counters(mark) for mark in armed if mark.startswith(name)]
                self.assertTrue(counts, outcome.stderr[-3000:])
                # One at least of its lines runs at every call.
                self.assertGreaterEqual(max(count["hits"] for count in counts), 4 * 3000)
            # The agent's thread calls malloc as well; that is not the host's doing.
            threads = {snapshot["thread"]["name"] for snapshot in outcome.snapshots}
            self.assertNotIn("stillframe", threads)
            if not spec:
                self.assertGreater(len(outcome.snapshots), 0)

    def test_what_the_agent_calls_while_it_patches(self):
        """Our own thread runs the code that it is about to change, and that makes threads wait."""
        names = ["syscall", "mprotect", "__libc_pwrite64", "__libc_open64", "__close", "fstat64",
                 "__read", "__libc_write", "process_vm_readv", "__clock_gettime",
                 "__futex_abstimed_wait_common64", "___pthread_mutex_lock",
                 "___pthread_mutex_unlock", "__libc_malloc", "__libc_free", "__libc_realloc",
                 "_int_malloc", "_int_free"]
        present = [name for name in names if lines_of(self.debug, name)]
        self.assertGreater(len(present), 8, present)
        wanted = self.wanted(present, condition="1 == 2")
        for _ in range(3):
            outcome, armed = self.check(wanted, 300)
        print(f"{len(armed)} of {len(wanted)} lines armed in {len(present)} functions")


if __name__ == "__main__":
    unittest.main(verbosity=2)
