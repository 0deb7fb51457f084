"""What the agent takes of memory under load: the process with it, less the process without it."""
import pathlib
import re
import subprocess
import time
import unittest

import harness
import services

RATE = 2_000
SECONDS = 20
LIMIT_KIB = 16 * 1024
# Debug information is given back ten seconds after it was last needed.
SETTLED = 13


def resident_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss:\s+(\d+) kB", text, re.MULTILINE).group(1))


class MemoryTest(services.ServiceTest):
    SOURCE = "load.cc"
    MARK = "mark-step"

    def run_load(self, env):
        process = subprocess.Popen([self.program, str(SECONDS), str(RATE)], env=env, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(process.kill)
        process.stdout.readline()
        return process

    def test_sixteen_megabytes_at_two_thousand_snapshots_a_second(self):
        plain = self.run_load(None)
        tracepoint = self.create(expressions=["n", "id"], limits={
            "maxHits": 1_000_000_000, "perSecond": 10_000, "perTrace": 0})
        process = self.run_load(self.server.agent_env(
            self.agent_key, "web", STILLFRAME_START_WAIT="30s",
            STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=0"))
        samples = []
        start = time.monotonic()

        def sampled():
            elapsed = time.monotonic() - start
            if elapsed > SETTLED + len(samples) / 2:
                samples.append(resident_kib(process.pid))
            return elapsed > SECONDS - 1
        harness.wait_for("the end of the load", sampled, seconds=SECONDS + 5)
        added = [kib - resident_kib(plain.pid) for kib in samples]
        print(f"the agent takes {min(added)} to {max(added)} KiB")
        self.assertLess(max(added), LIMIT_KIB)
        # What leaks grows all the time; what waits while the server does not keep up comes once.
        third = len(added) // 3
        least = [min(added[i * third:(i + 1) * third]) for i in range(3)]
        self.assertLess(min(least[1] - least[0], least[2] - least[1]), 400, f"it grows: {added}")
        process.stdout.readline()
        counters = self.settled(tracepoint)
        self.check_identities(counters)
        self.assertGreater(counters["acked"], RATE)
        for one in (process, plain):
            one.communicate("\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
