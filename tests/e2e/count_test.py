"""COUNTER tracepoints: hits equal the program's own count."""
import re
import subprocess
import unittest

import harness
import log_test


class CountTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = harness.compile_target("logging.cc")
        cls.line = harness.line_of("logging.cc", "mark-log")

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def spec(self, **more):
        return {"kind": "COUNTER", "location": {"file": "logging.cc", "line": self.line}, **more}

    def test_a_counter_counts_what_the_program_counts(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        key = server.key("editor")
        process = subprocess.Popen(
            [str(self.program), "20000", "1000000", "wait"], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env=server.agent_env(server.key("agent"), "logs"))
        self.addCleanup(process.kill)
        harness.wait_for("the agent", lambda: server.call(
            "GET", "/v1/services/logs/agents", key=key)[1].get("agents"))
        done = server.cli("set", f"logging.cc:{self.line}", "--count", "--service", "logs",
                          "--wait", key=key)
        counter = re.search(r"tp_\w+", done.stdout).group(0)
        _, even = server.call("POST", "/v1/services/logs/tracepoints",
                              self.spec(condition="order.id % 2 == 0"), key=key)

        def status(tracepoint):
            _, body = server.call("GET", f"/v1/tracepoints/{tracepoint}", key=key)
            return body["agents"][0] if body.get("agents") else {"state": ""}

        harness.wait_for("both armed", lambda: all(
            status(t)["state"] == "ARMED" for t in (counter, even["id"])))
        process.stdin.write("\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), "runs 40000\n")
        for tracepoint, captured in ((counter, 40000), (even["id"], 20000)):
            final = harness.wait_for("the whole count", lambda: (
                lambda s: s if s["counters"]["hits"] == 40000 else None)(status(tracepoint)))
            log_test.check_identities(self, final["counters"])
            self.assertEqual(final["counters"]["captured"], captured)
            self.assertEqual(final["counters"]["acked"], captured)
            self.assertEqual(final["state"], "EMITTING")
        self.assertRegex(server.cli("list", key=key).stdout, r"COUNTER .*EMITTING +40000 +40000")
        self.assertIn("captured 40000", server.cli("show", counter, key=key).stdout)
        # The same tracepoint as a snapshot: what was counted before stays accounted for.
        status_code, body = server.call(
            "PATCH", f"/v1/tracepoints/{counter}",
            {"kind": "SNAPSHOT", "limits": {"maxHits": 5, "perSecond": 5}}, key=key)
        self.assertEqual(status_code, 200, body)
        harness.wait_for("re-armed", lambda: status(counter).get("revision") == 2 and
                         status(counter)["state"] == "ARMED")
        log_test.check_identities(self, status(counter)["counters"])
        _, body = server.call("GET", "/v1/snapshots", key=key)
        self.assertEqual(body["snapshots"], [])
        process.communicate("\n", timeout=20)
        self.assertEqual(process.returncode, 0)

    def test_file_mode(self):
        done, snapshots = harness.run_with_file(
            self.program, [self.spec()], args=["5000", "1000000"], env={"STILLFRAME_LOG": "info"})
        self.assertEqual(done.stdout, "runs 10000\n")
        self.assertEqual(snapshots, [])
        self.assertRegex(done.stderr, r"at exit: hits=10000 captured=10000\n")


if __name__ == "__main__":
    unittest.main(verbosity=2)
