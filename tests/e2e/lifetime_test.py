"""The life of a tracepoint: it expires by itself, and is renewed."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

import harness
import services

# All requests of the service are of one trace.
GO_ON = {"maxHits": 1000000, "perSecond": 1000, "perTrace": 0}


class LifetimeTest(services.ServiceTest):
    def test_an_hour_unless_said_otherwise(self):
        tracepoint = self.show(self.create())
        self.assertEqual(tracepoint["limits"]["expiresIn"], "3600s")
        self.assertRegex(tracepoint["expiresAt"], r"^20\d\d-")
        refused = self.call("POST", "/v1/services/web/tracepoints", {
            "location": {"file": "a.cc", "line": 1}, "limits": {"expiresIn": "25h"}}, expect=400)
        self.assertEqual(refused["error"]["field"], "limits.expiresIn")

    def test_it_expires_and_its_counts_stay(self):
        process = self.start_service()
        tracepoint = self.create(limits=dict(GO_ON, expiresIn="3s"))
        self.wait_state(tracepoint, "EMITTING")
        status = self.wait_state(tracepoint, "EXPIRED")
        harness.wait_for("the text as it was",
                         lambda: harness.text_differences(process.pid) == 0)
        counters = self.settled(tracepoint)
        self.assertGreater(counters["captured"], 0, status)
        self.assertEqual(counters["hits"], sum(counters[n] for n in services.OUTCOMES))
        # Renewed, it begins its life again.
        self.server.cli("renew", tracepoint, "--expires", "1h", key=self.editor)
        self.wait_state(tracepoint, "ARMED", "EMITTING")

    def test_renewal_changes_nothing_else(self):
        self.start_service()
        tracepoint = self.create(limits=dict(GO_ON, expiresIn="4s"))
        self.wait_state(tracepoint, "EMITTING")
        before = self.show(tracepoint)
        began = time.monotonic()
        said = self.server.cli("renew", tracepoint, "--expires", "30m", key=self.editor).stdout
        self.assertRegex(said, re.escape(tracepoint) + r" expires 20")
        after = self.show(tracepoint)
        self.assertEqual(after["revision"], before["revision"])
        self.assertGreater(after["expiresAt"], before["expiresAt"])
        harness.wait_for("its first end to pass", lambda: time.monotonic() > began + 5)
        status = self.status(tracepoint)
        self.assertEqual(status["state"], "EMITTING")
        self.assertGreaterEqual(status["counters"]["captured"],
                                before["agents"][0]["counters"]["captured"])
        self.assertEqual(self.server.cli("renew", tracepoint, "--expires", "soon", key=self.editor,
                                         check=False).returncode, 2)
        self.call("PATCH", f"/v1/tracepoints/{tracepoint}", {"limits": {"expiresIn": "0s"}},
                  expect=400)

    def test_without_its_server_an_agent_keeps_to_the_expiry(self):
        process = self.start_service()
        tracepoint = self.create(limits=dict(GO_ON, expiresIn="6s"))
        self.wait_state(tracepoint, "EMITTING")
        began = time.monotonic()
        self.server.kill()
        self.assertGreater(harness.text_differences(process.pid), 0)
        harness.wait_for("the text as it was", lambda: harness.text_differences(process.pid) == 0)
        self.assertLess(time.monotonic() - began, 8)
        self.server.start()

    def test_in_a_file_it_is_renewed_by_writing(self):
        with tempfile.TemporaryDirectory(prefix="sf-life-") as folder:
            wanted = pathlib.Path(folder) / "tracepoints.json"
            wanted.write_text(json.dumps({"tracepoints": [
                {"id": "t", "limits": dict(GO_ON, expiresIn="3s"),
                 "location": {"file": self.SOURCE, "line": self.line}}]}))
            process = subprocess.Popen(
                [str(self.program)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                env=harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_LOG="info",
                                      STILLFRAME_OUTPUT=pathlib.Path(folder) / "out.jsonl"))
            self.addCleanup(self.end, process)
            lines = iter(process.stderr.readline, "")
            began = time.monotonic()
            next(line for line in lines if "t: EXPIRED" in line)
            self.assertGreater(time.monotonic() - began, 2)
            os.utime(wanted)
            next(line for line in lines if "t: ARMED" in line)
            next(line for line in lines if "t: EXPIRED" in line)


if __name__ == "__main__":
    unittest.main(verbosity=2)
