"""Sandboxes and limits: the agent works in another way or says why not; the host never notices."""
import os
import subprocess
import tempfile
import unittest

import harness
import hosts
from hosts import HostTest, tracepoint

MARKS = ("mark-step", "mark-first", "mark-second", "mark-third", "mark-fourth", "mark-text")
FORBIDDEN = ("membarrier", "process_vm_readv", "pwrite64", "wx", "close_range", "pidfd_getfd",
             "tgkill", "sched_setattr", "sigaltstack")


class SandboxTest(HostTest):
    def setUp(self):
        self.program = harness.compile_target("restricted.cc")
        self.sandbox = harness.compile_target("sandbox.cc")
        self.wanted = ([tracepoint("restricted.cc", mark) for mark in MARKS[:1]]
                       + [tracepoint("restricted.cc", mark, condition="1 == 2")
                          for mark in MARKS[1:]]
                       + [dict(tracepoint("restricted.cc", "mark-second",
                                          condition="node->next->value == 77"), id="heap")])

    def confined(self, *restrictions, wanted=None):
        """The program under the restrictions, with the agent; compared with it without."""
        wanted = self.wanted if wanted is None else wanted
        plain = hosts.run([self.sandbox, *restrictions, "--", self.program])
        if plain.returncode == 77:
            self.skipTest(f"this system has no {restrictions}")
        with tempfile.TemporaryDirectory(prefix="sf-host-") as folder:
            env = hosts.file_mode(folder, wanted)
            ours = {k: v for k, v in env.items() if k == "LD_PRELOAD" or k.startswith("STILL")}
            outcome = hosts.run(
                [self.sandbox, *restrictions, "--", *(f"{k}:{v}" for k, v in ours.items()),
                 self.program], {k: v for k, v in env.items() if k not in ours}, timeout=60)
            outcome.snapshots = hosts.snapshots(folder)
        self.assertEqual(outcome.returncode, plain.returncode, outcome.stderr[-2000:])
        self.assertEqual(outcome.stdout, plain.stdout, outcome.stderr[-2000:])
        return outcome

    def check(self, outcome):
        """Every tracepoint is armed and counts, or says why not."""
        for wanted in self.wanted:
            final = outcome.final.get(wanted["id"])
            self.assertIsNotNone(final, outcome.stderr[-2000:])
            if outcome.sites(wanted["id"]):
                continue
            self.assertIn(final["reason"], ("UNSAFE_SITE", "NOT_PERMITTED"), final)
            self.assertTrue(final["message"], final)
        self.check_identities(outcome, self.wanted)

    def test_nothing_forbidden(self):
        outcome = self.confined("nofile=1024")
        self.check(outcome)
        self.assertGreater(len(outcome.snapshots), 0)
        self.assertEqual(outcome.counters("heap")["conditionFalse"],
                         outcome.counters("heap")["hits"])

    def test_one_call_forbidden(self):
        for call in FORBIDDEN:
            for error in ("EPERM", "ENOSYS"):
                with self.subTest(call=call, error=error):
                    outcome = self.confined(f"{call}={error}")
                    if call == "pidfd_getfd":
                        # Its last words went by way of /proc, which a pipe allows.
                        self.assertIn("ARMED", outcome.stderr)
                    self.check(outcome)
                    self.assertTrue(outcome.sites("mark-step"), outcome.stderr[-2000:])
                    self.assertGreater(len(outcome.snapshots), 0)

    def test_reads_degrade_but_conditions_stay_right(self):
        for error in ("EPERM", "ENOSYS"):
            outcome = self.confined(f"process_vm_readv={error}")
            count = outcome.counters("heap")
            self.assertEqual(count["conditionFalse"], count["hits"], count)
            self.assertGreater(count["hits"], 0)

    def test_all_forbidden_at_once(self):
        for error in ("EPERM", "ENOSYS"):
            with self.subTest(error=error):
                outcome = self.confined(*(f"{call}={error}" for call in FORBIDDEN))
                for wanted in self.wanted:
                    self.assertIn(wanted["id"] + ": ERROR NOT_PERMITTED", outcome.stderr)
                self.assertEqual(outcome.snapshots, [])

    def test_no_write_through_proc_and_no_membarrier(self):
        self.check(self.confined("pwrite64=EPERM", "membarrier=ENOSYS"))

    def test_memory_deny_write_execute(self):
        outcome = self.confined("mdwe")
        self.check(outcome)
        armed = [mark for mark in MARKS if outcome.sites(mark)]
        self.assertTrue(armed, outcome.stderr[-2000:])

    def test_no_thread_for_the_agent(self):
        outcome = self.confined("clone3=EAGAIN", "clone=EAGAIN")
        self.assertIn("the agent stays off", outcome.stderr)

    def test_tight_address_space(self):
        """From too little to start at all up to plenty: the host's end is the same at each."""
        for mebibytes in range(8, 160, 8):
            with self.subTest(mebibytes=mebibytes):
                limit = f"as={mebibytes << 20}"
                plain = hosts.run([self.sandbox, limit, "--", self.program])
                if plain.returncode != 0:
                    continue
                with tempfile.TemporaryDirectory(prefix="sf-host-") as folder:
                    env = hosts.file_mode(folder, self.wanted)
                    ours = {k: v for k, v in env.items()
                            if k == "LD_PRELOAD" or k.startswith("STILL")}
                    outcome = hosts.run([self.sandbox, limit, "--",
                                         *(f"{k}:{v}" for k, v in ours.items()), self.program],
                                        {k: v for k, v in env.items() if k not in ours})
                # 127: the loader had no room even for the library's pages.
                self.assertIn(outcome.returncode, (0, 127), outcome.stderr[-1000:])
                if outcome.returncode == 0:
                    self.assertEqual(outcome.stdout.split()[0], plain.stdout.split()[0])

    def test_few_descriptors(self):
        for count in (4, 5, 6, 8, 12):
            with self.subTest(count=count):
                self.confined(f"nofile={count}")

    @unittest.skipUnless(os.getuid() == 0, "needs root to make a setuid program")
    def test_setuid_program_refuses(self):
        """Linked in, so that it is loaded at all: LD_PRELOAD is ignored there by the loader."""
        program = harness.compile_target(
            "restricted.cc", extra=(f"-L{harness.AGENT.parent}", "-Wl,--no-as-needed",
                                    "-lstillframe", f"-Wl,-rpath,{harness.AGENT.parent}"))
        subprocess.run(["chmod", "755", str(program.parent)], check=True)
        with tempfile.TemporaryDirectory(prefix="sf-host-") as folder:
            env = hosts.file_mode(folder, self.wanted)
            del env["LD_PRELOAD"]
            linked = hosts.run([program], env)
            self.assertTrue(linked.sites("mark-step"), linked.stderr)
            self.assertGreater(len(hosts.snapshots(folder)), 0)
        subprocess.run(["chmod", "4755", str(program)], check=True)
        with tempfile.TemporaryDirectory(prefix="sf-host-") as folder:
            os.chmod(folder, 0o777)
            env = hosts.file_mode(folder, self.wanted)
            del env["LD_PRELOAD"]
            outcome = hosts.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                 program], env)
            if "No such file" in outcome.stderr or outcome.returncode == 127:
                self.skipTest("another user cannot reach this build")
            self.assertEqual(outcome.stderr, "")
            self.assertEqual(outcome.stdout, linked.stdout)
            self.assertEqual(sorted(os.listdir(folder)), ["tracepoints.json"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
