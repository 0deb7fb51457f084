"""fork, vfork, posix_spawn, system, raw clone, thread churn: the same with probes in the code."""
import os
import subprocess
import unittest

import harness
import hosts
from hosts import HostTest, tracepoint


class ProcessesTest(HostTest):
    def setUp(self):
        self.program = harness.compile_target("processes.cc")
        self.declined = [tracepoint("processes.cc", "mark-step", condition="value == -7")]
        self.captured = [tracepoint("processes.cc", "mark-step")]

    def test_fork_storm(self):
        for wanted in (self.declined, self.captured):
            outcome = self.same([self.program, "fork-storm", 100], wanted, timeout=120)
            self.assertIn("right 300", outcome.stdout)

    def test_vfork_then_exec(self):
        for wanted in (self.declined, self.captured):
            outcome = self.same([self.program, "vfork", 200], wanted)
            # The child of vfork runs in our memory until it execs: its hits are ours.
            self.assert_hits(outcome, "mark-step", 200 * 3 + 10)

    def test_spawn_and_system(self):
        outcome = self.same([self.program, "spawn", 20], self.captured)
        self.assert_hits(outcome, "mark-step", 60)

    def test_child_of_a_raw_clone_ends_at_once(self):
        for wanted in (self.declined, self.captured):
            outcome = self.same([self.program, "raw-fork", 20], wanted)
            self.assertIn("slow 0", outcome.stdout)
            self.assert_hits(outcome, "mark-step", 200)

    def test_forked_child_ends_by_exit(self):
        for wanted in (self.declined, self.captured):
            outcome = self.same([self.program, "fork-exit"], wanted)
            self.assertIn("fast", outcome.stdout)
            self.assert_hits(outcome, "mark-step", 10)

    def test_thread_churn(self):
        for wanted in (self.declined, self.captured):
            outcome = self.same([self.program, "churn", 500], wanted, timeout=120)
            self.assert_hits(outcome, "mark-step", 500 * 8 * 20)

    def test_user_namespace_needs_the_agent_off(self):
        """Documented: one more thread makes unshare(CLONE_NEWUSER) fail; off, nothing changes."""
        plain = hosts.run([self.program, "user-namespace"])
        off = hosts.run([self.program, "user-namespace"], harness.agent_env())
        self.assertEqual(off.stdout, plain.stdout)
        on = hosts.run_with_agent([self.program, "user-namespace"], self.declined)
        self.assertIn("unshare -1 Invalid argument", on.stdout)

    @unittest.skipUnless(os.getuid() == 0, "needs root to become somebody else")
    def test_set_user_id_reaches_every_thread(self):
        subprocess.run(["chmod", "755", str(self.program.parent)], check=True)
        outcome = self.same([self.program, "setuid"], self.declined)
        self.assertEqual(outcome.stdout, "1\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
