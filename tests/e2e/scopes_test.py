"""Whom a tracepoint is for: processes by version, environment and label; threads by name; requests
by trace and session, across services; and how often one trace is captured."""
import json
import pathlib
import subprocess
import tempfile
import time
import unittest

import harness
import services

GO_ON = {"maxHits": 1000000, "perSecond": 10000, "perTrace": 0}
TRACE = "4bf92f3577b34da6a3ce929d0e0e47"
PARENT = f"00-{TRACE}%02x-00f067aa0ba902b7-01"


class ScopesTest(services.ServiceTest):
    SOURCE = "requests.cc"
    MARK = "mark-serve"

    def armed(self, process, **spec):
        spec.setdefault("limits", GO_ON)
        tracepoint = self.create(**spec)
        self.wait_state(tracepoint, "ARMED", instance=process.instance)
        return tracepoint

    def counted(self, tracepoint, hits, captured, instance=None):
        """Waits until the process has reported `hits`, and checks where they went."""
        def reached():
            counters = self.status(tracepoint, instance)["counters"]
            done = counters["acked"] == captured and counters["inFlight"] == 0
            return counters if counters["hits"] == hits and done else None
        counters = harness.wait_for(f"{hits} hits, {captured} captured: " + json.dumps(
            self.status(tracepoint, instance)["counters"]), reached)
        self.check_identities(counters)
        self.assertEqual(counters["captured"], captured)
        return counters

    def start(self, name="web", **env):
        return self.start_requests(name, STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=0",
                                   **env)

    def test_one_trace(self):
        process = self.start()
        tracepoint = self.armed(process, selector={"traceId": TRACE + "07"})
        for i in range(10):
            self.send(process, 2, PARENT % i)
        self.send(process, 5)
        self.assertEqual(self.counted(tracepoint, 25, 2)["conditionFalse"], 23)
        self.assertEqual({s["trace"]["traceId"] for s in self.snapshots(tracepoint)},
                         {TRACE + "07"})

    def test_one_trace_of_every_kind_and_beside_a_condition(self):
        process = self.start()
        here = {"file": self.SOURCE, "line": self.line}
        selector = {"traceId": TRACE + "03"}
        kinds = [{"kind": "COUNTER"}, {"kind": "LOG", "logMessage": "n {n}"},
                 {"kind": "DISTRIBUTION", "expressions": ["n"]},
                 {"kind": "COUNTER", "condition": "n > 0"}]
        tracepoints = [self.armed(process, location=here, selector=selector, limits={}, **kind)
                       for kind in kinds]
        for i in range(5):
            self.send(process, 3, PARENT % i)
        for tracepoint in tracepoints:
            self.assertEqual(self.counted(tracepoint, 15, 3)["conditionFalse"], 12)

    def test_a_session_across_services(self):
        front, back = self.start("front"), self.start("back")
        spec = {"selector": {"session": "ada-7"}, "limits": GO_ON}
        tracepoints = [(self.create("front", **spec), front), (self.create("back", **spec), back)]
        for tracepoint, process in tracepoints:
            self.wait_state(tracepoint, "ARMED", instance=process.instance)
        baggage = ["-", "user=1,stillframe=other", "stillframe=ada-7",
                   "user=1;x=y,stillframe=ada%2D7;ttl=1", "stillframe=x,stillframe=ada-7",
                   "xstillframe=ada-7", "stillframe=ada-77", "stillframe=ada-%zz"]
        for i, header in enumerate(baggage):
            for _, process in tracepoints:  # the request goes on from one to the other
                self.send(process, 1, PARENT % i, header)
        self.send(front, 1)  # what was entered is left
        self.counted(tracepoints[0][0], len(baggage) + 1, 3)
        self.counted(tracepoints[1][0], len(baggage), 3)
        traces = [sorted(s["trace"]["traceId"] for s in self.snapshots(t)) for t, _ in tracepoints]
        self.assertEqual(traces[0], traces[1])
        self.assertEqual(traces[0], [TRACE + f"{i:02x}" for i in (2, 3, 4)])

    def test_a_session_without_a_trace(self):
        process = self.start()
        tracepoint = self.armed(process, selector={"session": "s"})
        self.send(process, 4, "-", "stillframe=s")
        self.send(process, 4, "-", "stillframe=t")
        self.counted(tracepoint, 8, 4)

    def test_threads_by_name(self):
        process = self.start()
        exact = self.armed(process, kind="COUNTER", selector={"threadName": "worker-1"}, limits={})
        prefix = self.armed(process, kind="COUNTER", selector={"threadName": "worker-*"}, limits={})
        for name in ("worker-1", "worker-12", "other", "worker", "worker-"):
            self.send(process, 0, "-", "-", name)
            renamed = time.monotonic()  # which is noticed within a tenth of a second
            harness.wait_for("the name", lambda: time.monotonic() > renamed + 0.12)
            self.send(process, 5)
        self.counted(exact, 25, 5)
        self.counted(prefix, 25, 15)

    def test_processes_by_version_environment_and_label(self):
        old = self.start(STILLFRAME_VERSION="1", STILLFRAME_ENVIRONMENT="prod",
                         STILLFRAME_LABELS="zone=a,tier=web")
        new = self.start(STILLFRAME_VERSION="2", STILLFRAME_ENVIRONMENT="test",
                         STILLFRAME_LABELS="zone=b,tier=web")
        cases = [({"version": "1"}, {old}), ({"environment": "test"}, {new}),
                 ({"labels": {"zone": "a"}}, {old}), ({"labels": {"tier": "web"}}, {old, new}),
                 ({"labels": {"tier": "web", "zone": "b"}}, {new}),
                 ({"labels": {"zone": "c"}}, set()), ({"instance": old.instance}, {old})]
        for selector, meant in cases:
            tracepoint = self.create(selector=selector, limits=GO_ON)
            for process in meant:
                self.wait_state(tracepoint, "ARMED", instance=process.instance)
            self.assertEqual({agent["instance"] for agent in self.show(tracepoint)["agents"]},
                             {process.instance for process in meant}, selector)
            self.assertEqual(self.show(tracepoint)["selector"]["labels"],
                             selector.get("labels", {}))

    def test_bad_selectors_name_the_field(self):
        for selector, field in (({"session": "a b"}, "session"), ({"threadName": "a*b"}, "threadName"),
                                ({"threadName": "a" * 16}, "threadName"),
                                ({"labels": ["a"]}, "labels"), ({"labels": {"a": 1}}, "labels"),
                                ({"traceId": "xyz"}, "traceId"), ({"sesion": "a"}, "sesion")):
            answer = self.call("POST", "/v1/services/web/tracepoints", {
                "location": {"file": "a.cc", "line": 1}, "selector": selector}, expect=400)
            self.assertEqual(answer["error"]["field"], f"selector.{field}")

    def test_the_command_line(self):
        process = self.start(STILLFRAME_LABELS="zone=a")
        place = f"{self.SOURCE}:{self.line}"
        done = self.server.cli(
            "set", place, "--service", "web", "--session", "s-1", "--thread", "requests*",
            "--label", "zone=a", "--per-trace", "2", "--max-hits", "100", "--per-second", "1000",
            "--wait", key=self.editor)
        self.assertIn("session s-1", done.stdout)
        self.assertIn("zone=a", done.stdout)
        tracepoint = self.call("GET", "/v1/services/web/tracepoints")["tracepoints"][0]["id"]
        self.send(process, 5, PARENT % 1, "stillframe=s-1")
        self.send(process, 5, PARENT % 2, "stillframe=s-2")
        counters = self.counted(tracepoint, 10, 2)
        self.assertEqual((counters["conditionFalse"], counters["rateLimited"]), (5, 3))

    def test_ten_snapshots_a_trace(self):
        process = self.start()
        tracepoint = self.armed(process, limits={"maxHits": 1000, "perSecond": 10000})
        for i in range(3):
            self.send(process, 15, PARENT % i)
            self.counted(tracepoint, 15 * (i + 1), 10 * (i + 1))  # the ring holds 32
        self.send(process, 15)  # without a trace there is nothing to count by
        self.assertEqual(self.counted(tracepoint, 60, 45)["rateLimited"], 15)
        per_trace = {}
        for snapshot in self.snapshots(tracepoint):
            trace = snapshot.get("trace", {}).get("traceId")
            per_trace[trace] = per_trace.get(trace, 0) + 1
        self.assertEqual(per_trace.pop(None), 15)
        self.assertEqual(set(per_trace.values()), {10})

    def test_in_a_file(self):
        with tempfile.TemporaryDirectory(prefix="sf-scope-") as folder:
            here = {"file": self.SOURCE, "line": self.line}
            wanted = pathlib.Path(folder) / "tracepoints.json"
            output = pathlib.Path(folder) / "out.jsonl"
            wanted.write_text(json.dumps({"tracepoints": [
                {"id": "session", "location": here, "limits": GO_ON, "selector": {"session": "s"}},
                {"id": "elsewhere", "location": here, "limits": GO_ON,
                 "selector": {"version": "2"}}]}))
            done = subprocess.run(
                [str(self.program)], input="3 - stillframe=s -\n5 - - -\n", text=True,
                capture_output=True, timeout=60,
                env=harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output,
                                      STILLFRAME_VERSION="1", STILLFRAME_START_WAIT="20s",
                                      STILLFRAME_LIMITS="snapshotsPerSecond=0"))
            self.assertEqual(done.returncode, 0, done.stderr)
            got = [json.loads(line)["tracepointId"] for line in output.read_text().splitlines()]
            self.assertEqual(got, ["session"] * 3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
