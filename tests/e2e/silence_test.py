"""An agent that has not heard of its server for too long takes everything out, until it is back."""
import re
import time
import unittest

import harness
import services

SILENCE_SECONDS = 3


class SilenceTest(services.ServiceTest):
    def armed(self, **env):
        process = self.start_service(**env)
        tracepoint = self.create(limits={"maxHits": 1000000, "perSecond": 100, "perTrace": 0})
        self.wait_state(tracepoint, "ARMED", "EMITTING")
        self.assertGreater(harness.text_differences(process.pid), 0)
        return process, tracepoint

    def test_silence_takes_everything_out_and_an_answer_brings_it_back(self):
        process, tracepoint = self.armed(STILLFRAME_MAX_SILENCE=f"{SILENCE_SECONDS}s")
        # A server that answers is not silent, however long nothing changes.
        end = time.monotonic() + 2 * SILENCE_SECONDS
        while time.monotonic() < end:
            self.assertGreater(harness.text_differences(process.pid), 0)
            time.sleep(0.05)
        self.server.kill()
        began = time.monotonic()
        harness.wait_for("everything to be out",
                         lambda: harness.text_differences(process.pid) == 0)
        self.assertGreater(time.monotonic() - began, 1, "not before the bound")
        self.assertIsNone(process.poll())
        self.server.start()
        harness.wait_for("it to be armed again",
                         lambda: harness.text_differences(process.pid) > 0, seconds=60)
        status = self.wait_state(tracepoint, "ARMED", "EMITTING")
        before = status["counters"]["captured"]
        harness.wait_for("it to go on", lambda: self.status(
            tracepoint, process.instance)["counters"]["captured"] > before)

    def test_without_a_bound_it_goes_on(self):
        process, _ = self.armed(STILLFRAME_MAX_SILENCE="0s")
        self.server.kill()
        end = time.monotonic() + 2 * SILENCE_SECONDS
        while time.monotonic() < end:
            self.assertGreater(harness.text_differences(process.pid), 0)
            time.sleep(0.05)

    def test_a_bad_bound_is_named(self):
        process = self.start_service()
        process.terminate()
        for bad in ("1s", "2", "25h", "x"):
            env = self.server.agent_env(self.agent_key, "web", STILLFRAME_MAX_SILENCE=bad)
            done = services.subprocess.run([str(harness.SERVER), "--help"], env=env,
                                           capture_output=True, text=True)
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stderr, re.escape("STILLFRAME_MAX_SILENCE"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
