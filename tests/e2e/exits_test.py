"""However a process ends: the same output and status, hits counted to the last handler, no delay."""
import time
import unittest

import harness
from hosts import HostTest, run, run_with_agent, tracepoint


class ExitsTest(HostTest):
    def setUp(self):
        self.program = harness.compile_target("exits.cc")
        self.declined = [tracepoint("exits.cc", "mark-step", condition="value == -7")]
        self.captured = [tracepoint("exits.cc", "mark-step")]

    def test_orderly_ends(self):
        for mode in ("return", "exit"):
            for wanted in (self.declined, self.captured):
                with self.subTest(mode=mode):
                    outcome = self.same([self.program, mode], wanted)
                    # The agent's own handler runs when the program's and its destructors have: start,
                    # atexit, static and thread destructors. The library's come later.
                    self.assertGreaterEqual(outcome.counters("mark-step")["hits"], 40)

    def test_ends_while_threads_hit(self):
        for mode in ("exit-busy", "exit-from-thread", "quick-exit", "_exit", "abort", "kill",
                     "terminate", "exit-in-handler"):
            for wanted in (self.declined, self.captured):
                with self.subTest(mode=mode, captured=wanted is self.captured):
                    self.same([self.program, mode], wanted, finals=False)

    def test_many_ends_while_threads_hit(self):
        """Destructors run while the agent may be in the midst of its work."""
        for _ in range(10):
            outcome = run_with_agent([self.program, "exit-busy"], self.captured)
            self.assertEqual(outcome.returncode, 6, outcome.stderr[-2000:])

    def test_end_is_not_held_up(self):
        took = []
        for _ in range(5):
            start = time.monotonic()
            run_with_agent([self.program, "exit-busy"], self.captured)
            took.append(time.monotonic() - start)
        # The flush may take 500 ms, the start what arming takes.
        self.assertLess(sorted(took)[2], 2.0)

    def test_main_thread_leaves_and_the_last_thread_ends_the_process(self):
        for wanted in (self.declined, self.captured):
            outcome = self.same([self.program, "main-leaves"], wanted, timeout=20)
            # The agent goes with the main thread, so what the last thread does is not seen.
            self.assert_hits(outcome, "mark-step", 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
