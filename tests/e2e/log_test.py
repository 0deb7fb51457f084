"""LOG tracepoints: agent, server, command line and file mode."""
import collections
import json
import os
import re
import subprocess
import time
import unittest

import harness

IDENTITY = ("conditionFalse", "conditionError", "rateLimited", "budgetStopped", "reentrant",
            "ringFull", "unsafeContext", "captured")
# A second's worth of messages and the time they take are the subject, not the limits of snapshots.
UNLIMITED = "snapshotsPerSecond=0,cpuPercent=0"


def check_identities(test, counters, settled=True):
    test.assertEqual(counters["hits"], sum(counters[name] for name in IDENTITY), counters)
    test.assertEqual(counters["captured"], counters["acked"] + counters["inFlight"] +
                     sum(counters["dropped"].values()), counters)
    if settled:
        test.assertEqual(counters["inFlight"], 0, counters)


class LogTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = harness.compile_target("logging.cc")
        cls.line = harness.line_of("logging.cc", "mark-log")

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def spec(self, message, **more):
        return {"kind": "LOG", "location": {"file": "logging.cc", "line": self.line},
                "logMessage": message, **more}

    def start_server(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        return server, server.key("agent"), server.key("editor")

    def start(self, server, key, runs, per_second, limits=UNLIMITED):
        process = subprocess.Popen(
            [str(self.program), str(runs), str(per_second), "wait"], text=True,
            env=server.agent_env(key, "logs", STILLFRAME_LIMITS=limits, STILLFRAME_START_WAIT="20s"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        return process

    def create(self, server, key, spec):
        status, body = server.call("POST", "/v1/services/logs/tracepoints", spec, key=key)
        self.assertEqual(status, 201, body)
        return body["id"]

    def status(self, server, key, tracepoint):
        _, body = server.call("GET", f"/v1/tracepoints/{tracepoint}", key=key)
        return body["agents"][0] if body.get("agents") else None

    def wait_state(self, server, key, tracepoint, *states):
        def reached():
            status = self.status(server, key, tracepoint)
            return status if status and status["state"] in states else None
        return harness.wait_for(f"{tracepoint} in {states}", reached)

    def logs(self, server, key, tracepoint):
        """Every message of the tracepoint, oldest first."""
        found, token = [], ""
        while True:
            status, body = server.call("GET", f"/v1/snapshots?kind=LOG&tracepoint={tracepoint}"
                                       f"&pageSize=1000&pageToken={token}", key=key)
            self.assertEqual(status, 200, body)
            found += body["snapshots"]
            token = body.get("nextPageToken", "")
            if not token:
                return found[::-1]

    def test_messages_arrive_and_are_read(self):
        server, agent_key, key = self.start_server()
        process = self.start(server, agent_key, 50, 100)
        harness.wait_for("the agent", lambda: server.call(
            "GET", "/v1/services/logs/agents", key=key)[1].get("agents"))
        done = server.cli("set", f"logging.cc:{self.line}", "--log",
                          "order {order.id} of {order.customer} {{{order.tier}}} {order.sizes} "
                          "{worker == 0 ? 1 : 2}", "--service", "logs", "--wait", key=key)
        self.assertIn("LOG", done.stdout)
        tracepoint = re.search(r"tp_\w+", done.stdout).group(0)
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "runs 100\n")
        harness.wait_for("all messages", lambda: len(self.logs(server, key, tracepoint)) == 100)
        logs = self.logs(server, key, tracepoint)
        expected = collections.Counter(
            f"order {i} of eve \"x\"\\n\\033[31m {{Tier::kGold}} [1, 2, 3] {worker}"
            for i in range(50) for worker in (1, 2))
        self.assertEqual(collections.Counter(log["message"] for log in logs), expected)
        frame, = logs[0]["frames"]
        self.assertIn("Handle(", frame["function"])
        self.assertEqual(frame["line"], self.line)
        self.assertEqual(frame["variables"], [])
        self.assertEqual(logs[0]["expressions"], [])
        self.assertEqual(logs[0]["thread"]["name"], "logging")
        # A person's view: one line each, nothing that drives the terminal.
        for args in (["snapshots", "--kind", "LOG"], ["snapshots"]):
            shown = server.cli(*args, key=key).stdout
            self.assertEqual(len(shown.splitlines()), 20, shown)
            self.assertRegex(shown.splitlines()[0], rf"^\d{{4}}-\d\d-\d\d \S+  logging  "
                             rf"logging\.cc:{self.line}  order 49 of eve")
            self.assertNotIn("\x1b", shown)
        self.assertEqual(server.cli("snapshots", "--kind", "SNAPSHOT", key=key).stdout,
                         "no snapshots\n")
        whole = server.cli("snapshot", logs[0]["id"], key=key).stdout
        self.assertIn("message order", whole)
        self.assertIn("Handle(", whole)
        self.assertIn("log order {order.id}", server.cli("show", tracepoint, key=key).stdout)
        counters = harness.wait_for("the last acknowledgement", lambda: (
            lambda c: c if c["acked"] == 100 else None)(
                self.status(server, key, tracepoint)["counters"]))
        check_identities(self, counters)
        listed = server.cli("list", key=key).stdout
        self.assertRegex(listed, r"LOG .*logging\.cc:\d+ .*EMITTING +100 +100")
        process.communicate("\n", timeout=20)
        self.assertEqual(process.returncode, 0)

    def test_c_strings_and_traces_are_light(self):
        """As fast as the program goes: what takes an ordinary record would find the ring full."""
        line = harness.line_of("texts.cc", "mark-text")
        messages = (
            ("[{$trace}] {own} {message.plain}",
             lambda i: f"[{f'{i + 1:032x}' if i % 2 == 0 else ''}] own plain \"text\""),
            ("{message.at_page_end} {message.none} {message.wild}", lambda i: "edge 0x0 <unavailable: UNREADABLE>"),
            ("{message.unending} {message.sealed} {message.large}",
             lambda i: f"uuuuuuuu… <redacted> {'x' * 255}…"))
        for compiler, level in (("g++", "-O0"), ("g++", "-O2"), ("clang++-14", "-O0"),
                                ("clang++-14", "-O2")):
            program = harness.compile_target("texts.cc", compiler, (level, "-g"),
                                             (f"-I{harness.SOURCE / 'include'}",))
            for template, expected in messages:
                with self.subTest(compiler=compiler, level=level, template=template):
                    done, logs = harness.run_with_file(program, [{
                        "kind": "LOG", "location": {"file": "texts.cc", "line": line},
                        "logMessage": "{message.number} " + template,
                    }], env={"STILLFRAME_LIMITS": UNLIMITED, "STILLFRAME_LOG": "info"})
                    self.assertEqual(done.stdout, "done\n")
                    counters = json.loads(
                        re.findall(r"final (\{.*\})", done.stderr)[0])["counters"]
                    self.assertEqual((counters["hits"], counters["captured"]), (60, 60), counters)
                    logs.sort(key=lambda log: int(log["message"].split()[0]))
                    # An address comes before the text; what cannot be read has nothing else.
                    self.assertEqual(
                        [re.sub(r"0x[0-9a-f]{3,}( <[^>]*>)? \"((?:[^\"\\\\]|\\\\.)*)\"", r"\2",
                                log["message"]).replace("\\", "") for log in logs],
                        [f"{i} {expected(i)}" for i in range(60)])

    def test_tail_prints_one_line_each(self):
        server, agent_key, key = self.start_server()
        process = self.start(server, agent_key, 10, 100)
        harness.wait_for("the agent", lambda: server.call(
            "GET", "/v1/services/logs/agents", key=key)[1].get("agents"))
        tracepoint = self.create(server, key, self.spec("tailed {order.id}"))
        self.wait_state(server, key, tracepoint, "ARMED")
        tail = subprocess.Popen([str(harness.CLI), "--server", server.url, "--key", key, "tail",
                                 "--count", "20"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(tail.kill)
        harness.wait_for("the stream", lambda: re.search(
            r"stillframe_event_streams 1\n", self.metrics(server)))
        process.stdin.write("\n")
        process.stdin.flush()
        out, _ = tail.communicate(timeout=30)
        self.assertEqual(tail.returncode, 0)
        lines = out.splitlines()
        self.assertEqual(len(lines), 20, out)
        for line in lines:
            self.assertRegex(line, rf"  logging  logging\.cc:{self.line}  tailed \d$")
        process.communicate("\n", timeout=20)

    def metrics(self, server):
        import urllib.request
        with urllib.request.urlopen(f"{server.url}/metrics", timeout=10) as answer:
            return answer.read().decode()

    def test_refusals_name_the_column_in_the_message(self):
        server, agent_key, key = self.start_server()
        status, body = server.call("POST", "/v1/services/logs/tracepoints",
                                   self.spec("order {order.id"), key=key)
        self.assertEqual(status, 400)
        self.assertEqual(body["error"]["field"], "logMessage")
        self.assertIn("column 7", body["error"]["message"])
        done = server.cli("set", f"logging.cc:{self.line}", "--log", "}", "--service", "logs",
                          key=key, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("column 1", done.stderr)
        process = self.start(server, agent_key, 1, 100)
        cases = [("no. {order.idd}", "UNKNOWN_VARIABLE", "logMessage column 12: "),
                 ("größe {order.id} { order.id + }", "BAD_EXPRESSION", "logMessage column 30: "),
                 ("{reqest}", "UNKNOWN_VARIABLE", "logMessage column 2: "),
                 ("pw {order.password}", "REDACTED", "logMessage column ")]
        for message, reason, says in cases:
            with self.subTest(message=message):
                tracepoint = self.create(server, key, self.spec(message))
                status = self.wait_state(server, key, tracepoint, "ERROR")
                self.assertEqual(status["reason"], reason, status)
                self.assertIn(says, status["message"])
        process.communicate("\n\n", timeout=20)

    def test_five_thousand_a_second_arrive_once_or_are_counted(self):
        server, agent_key, key = self.start_server()
        process = self.start(server, agent_key, 7500, 2500, limits="")  # the defaults
        harness.wait_for("the agent", lambda: server.call(
            "GET", "/v1/services/logs/agents", key=key)[1].get("agents"))
        tracepoint = self.create(server, key, self.spec("{worker}:{order.id}"))
        self.wait_state(server, key, tracepoint, "ARMED")
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "runs 15000\n")

        def settled():
            counters = self.status(server, key, tracepoint)["counters"]
            return counters if counters["hits"] == 15000 and counters["inFlight"] == 0 else None

        counters = harness.wait_for("everything accounted for", settled, seconds=60)
        check_identities(self, counters)
        logs = self.logs(server, key, tracepoint)
        print("5,000 a second:", {k: v for k, v in counters.items() if v}, "stored", len(logs))
        self.assertEqual(len(logs), counters["acked"])
        self.assertEqual(len({log["message"] for log in logs}), len(logs))
        self.assertGreater(len(logs), 1000)
        process.communicate("\n", timeout=20)
        self.assertEqual(process.returncode, 0)

    def test_the_rate_of_a_process_is_limited(self):
        done, logs = harness.run_with_file(
            self.program, [self.spec("{order.id}", id="a"), self.spec("b {order.id}", id="b")],
            args=["250", "1000"],
            env={"STILLFRAME_LIMITS": UNLIMITED + ",logsPerSecond=50", "STILLFRAME_LOG": "info"})
        counters = [dict((k, int(v)) for k, v in re.findall(r"(\S+)=(\d+)", line))
                    for line in done.stderr.splitlines() if "at exit: hits=" in line]
        self.assertEqual(len(counters), 2, done.stderr)
        dropped = sum(c.get("dropped.logRate", 0) for c in counters)
        self.assertGreater(dropped, 100, done.stderr)
        self.assertGreaterEqual(len(logs), 50)  # a second's worth may come at once
        self.assertLess(len(logs), 200)
        self.assertEqual(sum(c["captured"] for c in counters), dropped + len(logs), done.stderr)

    def test_a_server_that_is_away_costs_bounded_memory(self):
        server, agent_key, key = self.start_server()
        process = self.start(server, agent_key, 15000, 2500)
        harness.wait_for("the agent", lambda: server.call(
            "GET", "/v1/services/logs/agents", key=key)[1].get("agents"))
        tracepoint = self.create(server, key, self.spec("{worker}:{order.id} " + "x" * 400))
        self.wait_state(server, key, tracepoint, "ARMED")
        server.process.send_signal(19)  # SIGSTOP: connections stay open, nobody answers
        before = self.resident_kb(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "runs 30000\n")
        grown = self.resident_kb(process.pid) - before
        server.process.send_signal(18)
        print("resident memory grew by", grown, "KB")
        self.assertLess(grown, 16 * 1024)

        def settled():
            status = self.status(server, key, tracepoint)
            counters = status["counters"]
            return counters if counters["hits"] == 30000 and counters["inFlight"] == 0 else None

        counters = harness.wait_for("everything accounted for", settled, seconds=90)
        check_identities(self, counters)
        self.assertGreater(counters["dropped"].get("outboxFull", 0), 0, counters)
        self.assertEqual(len(self.logs(server, key, tracepoint)), counters["acked"])
        process.communicate("\n", timeout=20)

    def resident_kb(self, pid):
        with open(f"/proc/{pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1))

    def test_file_mode(self):
        done, logs = harness.run_with_file(
            self.program,
            [self.spec("w{worker} {order.id}", expressions=["order.sizes.size()"],
                       condition="order.id % 2 == 0")],
            args=["40", "400"], env={"STILLFRAME_LIMITS": UNLIMITED, "STILLFRAME_LOG": "info"})
        self.assertEqual(done.stdout, "runs 80\n")
        self.assertEqual(sorted(log["message"] for log in logs),
                         sorted(f"w{w} {i}" for w in (0, 1) for i in range(0, 40, 2)))
        for log in logs:
            self.assertEqual(log["kind"], "LOG")
            self.assertEqual([e["value"] for e in log["expressions"]], ["3"])
        self.assertRegex(done.stderr, r"hits=80 conditionFalse=40 captured=40\n")
        done, logs = harness.run_with_file(self.program, [self.spec("a {b")], args=["1"])
        self.assertIn("tracepoints[0].logMessage, column 3", done.stderr)
        self.assertEqual(logs, [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
