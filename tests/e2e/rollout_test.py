"""A canary goes first; a dry run only counts."""
import time
import unittest

import harness
import services

LENGTH_SECONDS = 3


class RolloutTest(services.ServiceTest):
    SOURCE = "requests.cc"
    MARK = "mark-serve"

    def test_first_on_one_instance_then_everywhere(self):
        processes = [self.start_requests() for _ in range(3)]
        began = time.monotonic()
        tracepoint = self.create(canary=f"{LENGTH_SECONDS}s", limits={"maxHits": 100})
        canary = self.show(tracepoint)["canaryStatus"]
        self.assertEqual(canary["state"], "RUNNING")
        first = next(p for p in processes if p.instance == canary["instance"])
        others = [p for p in processes if p is not first]
        self.wait_state(tracepoint, "ARMED", instance=first.instance)
        for process in others:
            status = self.status(tracepoint, process.instance)
            self.assertEqual((status["state"], status["reason"]), ("PENDING", "CANARY"))
            self.assertEqual(harness.text_differences(process.pid), 0)
        harness.wait_for("its end to be known",
                         lambda: "until" in self.show(tracepoint)["canaryStatus"])
        self.assertIn("canary RUNNING", self.server.cli("show", tracepoint).stdout)
        for process in others:
            self.wait_state(tracepoint, "ARMED", instance=process.instance)
        self.assertGreater(time.monotonic() - began, LENGTH_SECONDS)
        self.assertEqual(self.show(tracepoint)["canaryStatus"]["state"], "DONE")
        # It has been everywhere: a restart does not send it back.
        self.server.kill()
        self.server.start()
        self.assertEqual(self.show(tracepoint)["canaryStatus"]["state"], "DONE")

    def test_a_canary_that_leaves_in_order_is_replaced(self):
        processes = [self.start_requests() for _ in range(2)]
        tracepoint = self.create(canary="60s", limits={"maxHits": 100})
        first = self.show(tracepoint)["canaryStatus"]["instance"]
        process = next(p for p in processes if p.instance == first)
        self.wait_state(tracepoint, "ARMED", instance=first)
        self.end(process)
        other = next(p for p in processes if p is not process)
        self.wait_state(tracepoint, "ARMED", instance=other.instance)
        self.assertEqual(self.show(tracepoint)["canaryStatus"]["instance"], other.instance)

    def test_one_that_dies_is_not_followed(self):
        processes = [self.start_requests() for _ in range(2)]
        tracepoint = self.create(canary=f"{LENGTH_SECONDS}s", limits={"maxHits": 100})
        first = self.show(tracepoint)["canaryStatus"]["instance"]
        process = next(p for p in processes if p.instance == first)
        self.wait_state(tracepoint, "ARMED", instance=first)
        process.kill()
        other = next(p for p in processes if p is not process)
        end = time.monotonic() + LENGTH_SECONDS + 3
        harness.wait_for("more than its time", lambda: time.monotonic() > end)
        self.assertEqual(self.status(tracepoint, other.instance)["state"], "PENDING")
        self.assertEqual(harness.text_differences(other.pid), 0)

    def test_by_the_command_line(self):
        self.start_requests()
        place = f"{self.SOURCE}:{self.line}"
        done = self.server.cli("set", place, "--service", "web", "--canary", "--max-hits", "5")
        self.assertIn("canary RUNNING", done.stdout)
        listed = self.call("GET", "/v1/services/web/tracepoints")["tracepoints"][0]
        self.assertEqual(listed["canary"], "35s")
        self.assertEqual(self.server.cli("set", place, "--service", "web", "--canary", "soon",
                                         check=False).returncode, 2)

    def test_a_dry_run_counts_and_says_what_it_would_cost(self):
        process = self.start_requests()
        tracepoint = self.create(dryRun=True, condition="n % 2 == 0",
                                 limits={"maxHits": 3, "perSecond": 2})
        self.wait_state(tracepoint, "ARMED")
        for _ in range(20):
            self.send(process, 50)
        status = harness.wait_for("the hits", lambda: (
            lambda s: s if s["counters"]["hits"] == 1000 else None)(self.status(tracepoint)))
        self.check_identities(status["counters"])
        self.assertEqual(status["counters"]["captured"], 500)
        self.assertEqual(status["state"], "EMITTING")  # maxHits ends no dry run
        projection = status["projection"]
        self.assertGreater(projection["hitsPerSecond"], projection["capturesPerSecond"])
        self.assertLessEqual(projection["capturesPerSecond"], 2)
        self.assertGreater(projection["cpuPercent"], 0)
        self.assertEqual(self.snapshots(tracepoint), [])
        self.assertIn("dry run:", self.server.cli("show", tracepoint).stdout)
        # The same, now in earnest.
        self.call("PATCH", f"/v1/tracepoints/{tracepoint}", {"dryRun": False})

        def captured():
            self.send(process, 2)
            return self.snapshots(tracepoint)
        harness.wait_for("a snapshot", captured)

    def test_a_dry_run_of_every_kind(self):
        process = self.start_requests()
        kinds = [{"kind": "LOG", "logMessage": "n {n}"}, {"kind": "COUNTER"},
                 {"kind": "DISTRIBUTION", "expressions": ["n"]},
                 {"kind": "SPAN", "location": {"function": "Serve"}}]
        tracepoints = [self.create(dryRun=True, **kind) for kind in kinds]
        for tracepoint in tracepoints:
            self.wait_state(tracepoint, "ARMED")
        self.send(process, 10)
        for tracepoint in tracepoints:
            status = harness.wait_for("the hits", lambda t=tracepoint: (
                lambda s: s if s["counters"]["hits"] == 10 else None)(self.status(t)))
            self.check_identities(status["counters"])
            self.assertEqual(self.snapshots(tracepoint), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
