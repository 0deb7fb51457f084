"""Probes on small stacks and in coroutines."""
import shutil
import unittest

import harness
from hosts import HostTest, run, run_with_agent, tracepoint

ROUNDS = 50
EXECUTIONS = 4 * 20 * ROUNDS


class FibersTest(HostTest):
    def setUp(self):
        self.program = harness.compile_target("fibers.cc")

    def test_declined_on_a_page_of_stack(self):
        outcome = self.same([self.program, "fibers", 4096, ROUNDS],
                            [tracepoint("fibers.cc", "mark-step", condition="value == -7"),
                             tracepoint("fibers.cc", "mark-swap", condition="1 == 2")])
        self.assert_hits(outcome, "mark-step", EXECUTIONS)

    def test_condition_over_memory_on_a_page_of_stack(self):
        outcome = self.same([self.program, "fibers", 4096, ROUNDS],
                            [tracepoint("fibers.cc", "mark-swap", condition="fiber.value == -7")])
        self.assert_hits(outcome, "mark-swap", EXECUTIONS)

    def test_captured_on_a_page_of_stack(self):
        outcome = self.same([self.program, "fibers", 4096, ROUNDS],
                            [tracepoint("fibers.cc", "mark-step")])
        self.assert_hits(outcome, "mark-step", EXECUTIONS)
        self.assertGreater(len(outcome.snapshots), 0)

    def test_smallest_stack_that_survives(self):
        """Not a promise: the figure is printed, and bounded so that it cannot creep up unseen."""
        def smallest(wanted):
            low, high = 0, 8192
            while high - low > 16:
                middle = (low + high) // 32 * 16
                command = [self.program, "fibers", middle, 5]
                ended = (run_with_agent(command, wanted) if wanted else run(command)).returncode
                low, high = (low, middle) if ended == 0 else (middle, high)
            return high

        alone = smallest([])
        declined = smallest([tracepoint("fibers.cc", "mark-step", condition="value == -7")])
        captured = smallest([tracepoint("fibers.cc", "mark-step")])
        print(f"smallest stack: {alone} bytes alone, {declined} with a declined hit, "
              f"{captured} with a captured one")
        self.assertLessEqual(declined, alone + 640)  # 512 of the hit, the red zone
        self.assertLessEqual(captured, 4096)

    def test_coroutines(self):
        # Clang 14 knows no finished coroutines in a form that libstdc++ takes.
        for compiler in ("g++", "clang++-19"):
            if shutil.which(compiler) is None:
                print(f"no {compiler}: its coroutines are not tried")
                continue
            for level in ("-O0", "-O2"):
                with self.subTest(compiler=compiler, level=level):
                    program = harness.compile_target("fibers.cc", compiler, (level, "-g"))
                    outcome = self.same(
                        [program, "coroutines", 10],
                        [tracepoint("fibers.cc", "mark-body", condition="1 == 2"),
                         tracepoint("fibers.cc", "mark-yield", condition="1 == 2"),
                         tracepoint("fibers.cc", "mark-coroutine-throw", condition="1 == 2")])
                    if outcome.sites("mark-body"):
                        self.assertGreaterEqual(outcome.counters("mark-body")["hits"],
                                                5 * 100 + 5 * 997)


if __name__ == "__main__":
    unittest.main(verbosity=2)
