"""Probed frames end by exceptions, longjmp, cancellation and pthread_exit as they would without."""
import unittest

import harness
from hosts import HostTest, tracepoint

MATRIX = [(compiler, level) for compiler in ("g++", "clang++-14") for level in ("-O0", "-O2")]


class UnwindingTest(HostTest):
    def each(self, mode, rounds, marks, matrix=MATRIX, **spec):
        for compiler, level in matrix:
            with self.subTest(mode=mode, compiler=compiler, level=level):
                program = harness.compile_target("unwinding.cc", compiler, (level, "-g"))
                wanted = [tracepoint("unwinding.cc", mark, **spec) for mark in marks]
                yield self.same([program, mode, rounds], wanted)

    def test_exceptions_through_probed_frames_and_calls(self):
        rounds = 300
        marks = ("mark-throw", "mark-direct", "mark-indirect", "mark-virtual", "mark-catch")
        for outcome in self.each("exceptions", rounds, marks, condition="1 == 2"):
            self.assert_hits(outcome, "mark-catch", rounds // 2)

    def test_exceptions_while_captured(self):
        for outcome in self.each("exceptions", 40, ("mark-throw", "mark-virtual", "mark-direct")):
            self.assertGreater(len(outcome.snapshots), 0)

    def test_longjmp_over_probed_frames(self):
        for outcome in self.each("longjmp", 50, ("mark-deep", "mark-recursion"),
                                 condition="depth > 100"):
            self.assert_hits(outcome, "mark-deep", 50 * 21)

    def test_longjmp_out_of_a_signal_handler(self):
        for outcome in self.each("signal-jump", 300, ("mark-step",), condition="value == -7"):
            # A hit that the jump abandoned must not silence the thread for good.
            self.assertGreaterEqual(outcome.counters("mark-step")["conditionFalse"], 1000)

    def test_frames_below_a_signal_handler(self):
        for compiler, level in MATRIX:
            with self.subTest(compiler=compiler, level=level):
                program = harness.compile_target("unwinding.cc", compiler, (level, "-g"))
                _, (snapshot,) = harness.run_with_file(
                    program, [{"location": {"function": "JumpOut"}}], args=("signal-jump", "3"))
                names = [frame["function"] for frame in snapshot["frames"]]
                self.assertEqual(names[:2], ["JumpOut(int)", "<signal handler called>"])
                self.assertNotIn("<signal handler called>", names[2:])
                self.assertIn("main", names[-4:] + [n.split("(")[0] for n in names])

    def test_longjmp_out_of_captures(self):
        for outcome in self.each("signal-jump", 300, ("mark-step",)):
            self.assertGreater(len(outcome.snapshots), 0)

    def test_deferred_cancellation(self):
        for _ in self.each("deferred", 200, ("mark-step", "mark-testcancel"),
                           condition="1 == 2"):
            pass

    # What Clang makes at -O0 of the cancelled function does not survive it without us either.
    CANCELLABLE = [case for case in MATRIX if case != ("clang++-14", "-O0")]

    def test_asynchronous_cancellation(self):
        for _ in self.each("asynchronous", 200, ("mark-step",), self.CANCELLABLE,
                           condition="value == -7"):
            pass

    def test_asynchronous_cancellation_of_captures(self):
        for _ in self.each("asynchronous", 100, ("mark-step",), self.CANCELLABLE):
            pass

    def test_pthread_exit(self):
        for outcome in self.each("exit", 200, ("mark-leave", "mark-exit", "mark-leaving"),
                                 condition="depth > 100"):
            self.assert_hits(outcome, "mark-leave", 200 * 11)


if __name__ == "__main__":
    unittest.main(verbosity=2)
