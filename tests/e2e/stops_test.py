"""The kill switch: an agent, a service, the fleet; over a restart; in a file."""
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import harness
import services

# All requests of the service are of one trace.
GO_ON = {"maxHits": 1000000, "perSecond": 1000, "perTrace": 0}
WITHIN_SECONDS = 5


class StopsTest(services.ServiceTest):
    def armed_everywhere(self, *tracepoints):
        for tracepoint in tracepoints:
            for agent in harness.wait_for("agents", lambda t=tracepoint: self.show(t)["agents"]):
                self.wait_state(tracepoint, "ARMED", "EMITTING", instance=agent["instance"])

    def stopped_within(self, tracepoint, process, began):
        status = self.wait_state(tracepoint, "BLOCKED", instance=process.instance)
        self.assertLess(time.monotonic() - began, WITHIN_SECONDS)
        self.assertEqual(status["reason"], "STOPPED")
        self.assertEqual(harness.text_differences(process.pid), 0)
        counters = self.settled(tracepoint, process.instance)
        self.check_identities(counters)
        return status

    def test_one_agent(self):
        first, second = self.start_service(), self.start_service()
        tracepoint = self.create(limits=GO_ON)
        self.armed_everywhere(tracepoint)
        began = time.monotonic()
        stop = self.call("POST", "/v1/stops", {"instance": first.instance, "reason": "too hot"},
                         expect=201)
        status = self.stopped_within(tracepoint, first, began)
        self.assertIn("too hot", status["message"])
        self.wait_state(tracepoint, "ARMED", "EMITTING", instance=second.instance)
        self.assertIn("too hot", next(a for a in self.agents()
                                      if a["instance"] == first.instance)["stopped"])
        # What is set while it stands does not arm there either.
        other = self.create(limits=GO_ON)
        self.wait_state(other, "BLOCKED", instance=first.instance)
        self.assertEqual(harness.text_differences(first.pid), 0)
        self.call("DELETE", f"/v1/stops/{stop['id']}", expect=204)
        self.armed_everywhere(tracepoint, other)
        before = self.status(tracepoint, first.instance)["counters"]["captured"]
        harness.wait_for("it goes on", lambda: self.status(
            tracepoint, first.instance)["counters"]["captured"] > before)

    def test_a_service_by_the_command_line_and_over_a_restart(self):
        web, other = self.start_service("web"), self.start_service("other")
        tracepoint, left = self.create("web", limits=GO_ON), self.create("other", limits=GO_ON)
        self.armed_everywhere(tracepoint, left)
        began = time.monotonic()
        done = self.server.cli("stop", "--service", "web", "--reason", "drill", key=self.editor)
        self.assertIn("stopped service web", done.stdout)
        self.stopped_within(tracepoint, web, began)
        self.wait_state(left, "EMITTING", instance=other.instance)
        again = self.call("POST", "/v1/stops", {"service": "web"})  # 200: it stands already
        self.assertEqual(again["reason"], "drill")
        self.server.kill()
        self.server.start()
        self.assertIn("drill", self.server.cli("stops", key=self.editor).stdout)
        # Another process of the service starts and must not arm.
        late = self.start_service("web")
        self.wait_state(tracepoint, "BLOCKED", instance=late.instance)
        self.wait_state(tracepoint, "BLOCKED", instance=web.instance, seconds=60)
        self.assertEqual(harness.text_differences(late.pid), 0)
        self.server.cli("resume", "--service", "web", key=self.editor)
        self.armed_everywhere(tracepoint)
        again = self.server.cli("resume", "--service", "web", key=self.editor, check=False)
        self.assertEqual(again.returncode, 1)

    def test_the_fleet_is_an_admins(self):
        web, other = self.start_service("web"), self.start_service("other")
        first, second = self.create("web", limits=GO_ON), self.create("other", limits=GO_ON)
        self.armed_everywhere(first, second)
        refused = self.server.cli("stop", "--all", key=self.editor, check=False)
        self.assertEqual(refused.returncode, 1)
        began = time.monotonic()
        self.server.cli("stop", "--all")
        self.stopped_within(first, web, began)
        self.stopped_within(second, other, began)
        self.server.cli("resume", "--all")
        self.armed_everywhere(first, second)

    def test_bad_stops_name_the_field(self):
        for body, code, field in (
                ({}, 400, "service"), ({"all": True, "service": "web"}, 400, "service"),
                ({"all": "yes"}, 400, "all"), ({"servise": "web"}, 400, "servise"),
                ({"instance": "nobody"}, 404, "instance"), ({"all": True}, 403, "all")):
            answer = self.call("POST", "/v1/stops", body, expect=code)
            self.assertEqual(answer["error"]["field"], field, body)
        self.assertEqual(self.server.cli("stop", check=False).returncode, 2)
        self.assertEqual(self.server.cli("stop", "--agent", "zz", check=False).returncode, 1)
        narrow = self.server.key("editor", "--service", "web")
        self.call("POST", "/v1/stops", {"service": "other"}, key=narrow, expect=403)
        mine = self.call("POST", "/v1/stops", {"service": "other"}, expect=201)
        self.call("DELETE", f"/v1/stops/{mine['id']}", key=narrow, expect=404)
        self.assertEqual(self.call("GET", "/v1/stops", key=narrow)["stops"], [])

    def test_in_a_file(self):
        with tempfile.TemporaryDirectory(prefix="sf-stops-") as folder:
            wanted = pathlib.Path(folder) / "tracepoints.json"

            def write(**more):
                new = wanted.with_suffix(".new")
                new.write_text(json.dumps({"tracepoints": [
                    {"id": "t", "limits": GO_ON,
                     "location": {"file": self.SOURCE, "line": self.line}}], **more}))
                os.replace(new, wanted)

            write()
            process = subprocess.Popen(
                [str(self.program)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                env=harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_START_WAIT="20s",
                                      STILLFRAME_OUTPUT=pathlib.Path(folder) / "out.jsonl"))
            self.addCleanup(self.end, process)
            harness.wait_for("the program", lambda: pathlib.Path(
                os.readlink(f"/proc/{process.pid}/exe")).name == self.program.name)
            harness.wait_for("armed", lambda: harness.text_differences(process.pid) > 0)
            write(stopped=True)
            harness.wait_for("out", lambda: harness.text_differences(process.pid) == 0)
            self.assertIn("BLOCKED STOPPED", process.stderr.readline())
            write(stopped=False)
            harness.wait_for("armed again", lambda: harness.text_differences(process.pid) > 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
