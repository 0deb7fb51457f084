"""Processor time at the hit: a tracepoint that takes too much is throttled, and recovers."""
import time
import unittest

import harness
import services

GREEDY = {"maxHits": 100000000, "perSecond": 10000, "perTrace": 0}


class BudgetTest(services.ServiceTest):
    SOURCE = "requests.cc"
    MARK = "mark-serve"

    def calm(self, tracepoint, seconds=20):
        return self.wait_state(tracepoint, "ARMED", "EMITTING", seconds=seconds)

    def test_snapshots_beyond_the_share_throttle_it_and_calm_brings_it_back(self):
        # The process's share is not reached by one tracepoint: what stops it is its own half.
        process = self.start_requests(STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=1")
        tracepoint = self.create(limits=GREEDY)
        self.wait_state(tracepoint, "ARMED")
        began = time.monotonic()
        seen = []

        def throttled():
            self.send(process, "spin", 0.1)
            status = self.status(tracepoint)
            seen.append(status["state"])
            return status if status["state"] == "THROTTLED" else None
        status = harness.wait_for("THROTTLED", throttled)
        self.assertEqual(status["reason"], "OVER_BUDGET")
        self.assertLess(time.monotonic() - began, 5)
        self.calm(tracepoint)  # nobody runs the line now
        counters = self.settled(tracepoint)
        self.check_identities(counters)
        self.assertGreater(counters["budgetStopped"], 0)
        self.assertGreater(counters["captured"], 10)
        # It works again.
        self.send(process, 3)
        harness.wait_for("captures after the calm", lambda: self.status(tracepoint)["counters"][
            "captured"] > counters["captured"])

    def test_what_it_takes_stays_below_the_share(self):
        process = self.start_requests(STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=1")
        tracepoint = self.create(limits=GREEDY)
        self.wait_state(tracepoint, "ARMED")
        self.send(process, "spin", 4)
        counters = self.settled(tracepoint)
        self.check_identities(counters)
        median = self.status(tracepoint)["hitNanos"]["p50"]
        # Each second's half a percent, and one more for the seconds' edges; captures dominate.
        self.assertGreater(counters["captured"], 10)
        self.assertLess(counters["captured"] * max(median, 1000) / 1e9, 5 * 0.01 * 2, median)

    def test_hits_that_cost_even_when_nothing_is_done_leave_the_text(self):
        process = self.start_requests(STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=1")
        tracepoint = self.create(kind="COUNTER", condition="n % 1000 == 0")
        self.wait_state(tracepoint, "ARMED")

        def out_of_text():
            self.send(process, "spin", 0.2)
            return harness.text_differences(process.pid) == 0
        harness.wait_for("the text as it was", out_of_text)
        status = self.wait_state(tracepoint, "THROTTLED")
        self.assertEqual(status["reason"], "OVER_BUDGET")
        self.calm(tracepoint)
        self.check_identities(self.settled(tracepoint))

    def test_without_a_limit_nothing_is_throttled(self):
        process = self.start_requests(STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=0")
        tracepoint = self.create(limits=GREEDY)
        self.wait_state(tracepoint, "ARMED")
        self.send(process, "spin", 1)
        counters = self.settled(tracepoint)
        self.check_identities(counters)
        self.assertEqual(counters["budgetStopped"], 0)
        self.assertIn(self.status(tracepoint)["state"], ("EMITTING",))


if __name__ == "__main__":
    unittest.main(verbosity=2)
