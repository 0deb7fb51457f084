"""maxHits is the fleet's: never more captures than asked for, and exactly so many by one agent."""
import subprocess
import time
import unittest

import harness
import services

UNLIMITED = {"STILLFRAME_LIMITS": "snapshotsPerSecond=0,cpuPercent=0"}


class LeasesTest(services.ServiceTest):
    SOURCE = "requests.cc"
    MARK = "mark-serve"

    def armed(self, processes, max_hits, **more):
        tracepoint = self.create(limits={"maxHits": max_hits, "perSecond": 10000}, **more)
        for process in processes:
            self.wait_state(tracepoint, "ARMED", instance=process.instance)
        return tracepoint

    def stored(self, tracepoint):
        return len(self.snapshots(tracepoint))

    def stays_at(self, tracepoint, count):
        harness.wait_for(f"{count} snapshots", lambda: self.stored(tracepoint) >= count)
        end = time.monotonic() + 2
        harness.wait_for("no more of them", lambda: time.monotonic() > end)
        self.assertEqual(self.stored(tracepoint), count)

    def test_one_agent_takes_exactly_what_was_asked_for(self):
        process = self.start_requests(**UNLIMITED)
        tracepoint = self.armed([process], 7)
        self.send(process, 20)
        self.wait_state(tracepoint, "COMPLETED")
        self.stays_at(tracepoint, 7)
        counters = self.settled(tracepoint)
        self.check_identities(counters)
        self.assertEqual(counters["captured"], 7)
        self.assertEqual(self.status(tracepoint)["lease"], {"granted": 7, "used": 7})

    def test_a_process_that_starts_later_has_its_share_with_its_first_set(self):
        tracepoint = self.create(limits={"maxHits": 5, "perSecond": 10000})
        process = self.start_requests(STILLFRAME_START_WAIT="20s", **UNLIMITED)
        self.send(process, 5)
        self.wait_state(tracepoint, "COMPLETED")
        self.stays_at(tracepoint, 5)

    def test_each_of_several_is_there_for_the_first_run_of_its_line(self):
        tracepoints = [self.create(limits={"maxHits": 1, "perTrace": 0}) for _ in range(7)]
        # It runs the line as soon as it may, and ends.
        process = subprocess.run(
            [str(self.program)], input="1\n", text=True, capture_output=True, timeout=60, check=True,
            env=self.server.agent_env(self.agent_key, "web", STILLFRAME_START_WAIT="20s",
                                      **UNLIMITED))
        self.assertTrue(process.stdout.startswith("done 1\n"), process.stdout)
        self.assertEqual([self.stored(tracepoint) for tracepoint in tracepoints], [1] * 7)

    def test_several_processes_that_start_together_take_no_more_than_asked_for(self):
        tracepoints = [self.create(limits={"maxHits": 2, "perTrace": 0}) for _ in range(4)]
        hosts = [self.start_requests(STILLFRAME_START_WAIT="20s", **UNLIMITED) for _ in range(3)]
        for host in hosts:
            self.send(host, 3)
        for host in hosts:
            self.end(host)
        for tracepoint in tracepoints:
            self.assertLessEqual(self.stored(tracepoint), 2)
            # What those left behind that ended, the next has with its first set.
        last = self.start_requests(STILLFRAME_START_WAIT="20s", **UNLIMITED)
        self.send(last, 3)
        self.end(last)
        for tracepoint in tracepoints:
            self.assertEqual(self.stored(tracepoint), 2)

    def test_one_hit_goes_to_whoever_is_hit(self):
        processes = [self.start_requests(**UNLIMITED) for _ in range(3)]
        for lucky in range(3):
            tracepoint = self.armed(processes, 1)

            def captured(process=processes[lucky], t=tracepoint):
                self.send(process, 1)
                return self.snapshots(t)
            found = harness.wait_for("the snapshot", captured)
            self.assertEqual(found[0]["instance"], processes[lucky].instance)
            for process in processes:
                self.wait_state(tracepoint, "COMPLETED", instance=process.instance)
                self.send(process, 5)
            self.stays_at(tracepoint, 1)

    def test_never_more_than_asked_for_when_all_are_hit(self):
        processes = [self.start_requests(**UNLIMITED) for _ in range(3)]
        tracepoint = self.armed(processes, 10)

        def all_taken():
            for process in processes:
                self.send(process, 3)
            return self.stored(tracepoint) >= 10
        harness.wait_for("all of them", all_taken, seconds=40)
        for process in processes:
            self.wait_state(tracepoint, "COMPLETED", instance=process.instance)
            self.send(process, 5)
        self.stays_at(tracepoint, 10)
        total = sum(agent["counters"]["captured"] for agent in self.show(tracepoint)["agents"])
        self.assertEqual(total, 10)
        for agent in self.show(tracepoint)["agents"]:
            self.check_identities(agent["counters"])

    def test_what_a_process_leaves_behind_the_others_take(self):
        first = self.start_requests(**UNLIMITED)
        tracepoint = self.armed([first], 6)
        self.send(first, 2)
        harness.wait_for("two", lambda: self.stored(tracepoint) == 2)
        self.end(first)
        second = self.start_requests(**UNLIMITED)
        self.wait_state(tracepoint, "ARMED", "EMITTING", instance=second.instance)

        def rest():
            self.send(second, 2)
            return self.stored(tracepoint) >= 6
        harness.wait_for("the rest", rest)
        self.stays_at(tracepoint, 6)

    def test_a_restart_of_the_server_forgets_no_share(self):
        processes = [self.start_requests(**UNLIMITED) for _ in range(2)]
        tracepoint = self.armed(processes, 4)
        self.send(processes[0], 1)
        harness.wait_for("one", lambda: self.stored(tracepoint) == 1)
        self.server.kill()
        self.server.start()

        def all_taken():
            for process in processes:
                self.send(process, 2)
            return self.stored(tracepoint) >= 4
        harness.wait_for("all of them", all_taken, seconds=60)
        self.stays_at(tracepoint, 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
