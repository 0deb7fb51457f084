"""The operator's policy file, which the server cannot loosen."""
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import harness
import services


class PolicyTest(services.ServiceTest):
    SOURCE = "requests.cc"
    MARK = "mark-serve"

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="sf-policy-")
        self.addCleanup(folder.cleanup)
        self.policy = pathlib.Path(folder.name) / "policy.json"

    def write(self, policy):
        new = self.policy.with_suffix(".new")
        new.write_text(policy if isinstance(policy, str) else json.dumps(policy))
        os.replace(new, self.policy)

    def start(self, policy):
        self.write(policy)
        return self.start_requests(STILLFRAME_POLICY=self.policy)

    def blocked(self, tracepoint, says):
        status = self.wait_state(tracepoint, "BLOCKED")
        self.assertEqual(status["reason"], "DENIED_BY_POLICY")
        self.assertIn(says, status["message"])

    def test_files_functions_and_kinds(self):
        process = self.start({})
        tracepoint = self.create()
        self.wait_state(tracepoint, "ARMED")
        for policy, says in (({"files": {"deny": ["*/requests.cc"]}}, "requests.cc"),
                             ({"files": {"deny": ["requests.cc"]}}, "requests.cc"),
                             ({"files": {"allow": ["orders/*"]}}, "file"),
                             ({"functions": {"deny": ["Ser*"]}}, "Ser*"),
                             ({"functions": {"allow": ["main"]}}, "function"),
                             ({"kinds": ["COUNTER", "LOG"]}, "SNAPSHOT")):
            with self.subTest(policy=policy):
                self.write(policy)
                harness.wait_for("the rule", lambda s=says: s in self.status(tracepoint)["message"])
                self.blocked(tracepoint, says)
                self.assertEqual(harness.text_differences(process.pid), 0)
        self.write({"files": {"allow": ["requests.cc"]}, "functions": {"deny": ["Other"]},
                    "kinds": ["SNAPSHOT"]})
        self.wait_state(tracepoint, "ARMED")
        self.send(process, 1)
        harness.wait_for("a snapshot", lambda: self.snapshots(tracepoint))

    def test_types_and_names_are_redacted(self):
        process = self.start({"types": {"deny": ["Node"]}, "names": ["tree*", "n"]})
        tracepoint = self.create(limits={"maxHits": 5, "perSecond": 100})
        self.wait_state(tracepoint, "ARMED")
        self.send(process, 1)
        found = harness.wait_for("a snapshot", lambda: self.snapshots(tracepoint))[0]
        text = json.dumps(self.call("GET", f"/v1/snapshots/{found['id']}"))
        self.assertNotIn("at depth", text)
        frame = found["frames"][0]
        self.assertEqual(harness.variable(frame, "node")["status"], "REDACTED")
        self.assertEqual(harness.variable(frame, "n")["status"], "REDACTED")
        watched = self.create(condition="node.depth == 4")
        self.assertEqual(self.wait_state(watched, "ERROR")["reason"], "REDACTED")

    def test_frames_of_what_is_denied_show_no_variables(self):
        process = self.start({"functions": {"deny": ["main"]}})
        tracepoint = self.create()
        self.wait_state(tracepoint, "ARMED")
        self.send(process, 1)
        found = harness.wait_for("a snapshot", lambda: self.snapshots(tracepoint))[0]
        self.assertTrue(found["frames"][0]["variables"])
        main = next(f for f in found["frames"] if f["function"].startswith("main"))
        self.assertEqual(main["variables"], [])
        self.assertEqual(main["variablesReason"], "DENIED_BY_POLICY")

    def test_the_operators_kill_switch_and_a_broken_file(self):
        process = self.start({})
        tracepoint = self.create()
        self.wait_state(tracepoint, "ARMED")
        for policy, says in (({"stopped": True}, "policy"), ("{", "cannot be read"),
                             ({"fils": {}}, "fils")):
            self.write(policy)
            harness.wait_for("the stop", lambda s=says: s in self.status(tracepoint)["message"])
            status = self.wait_state(tracepoint, "BLOCKED")
            self.assertEqual(status["reason"], "STOPPED")
            self.assertEqual(harness.text_differences(process.pid), 0)
        self.write({})
        self.wait_state(tracepoint, "ARMED")

    def test_an_agent_with_a_bad_policy_stays_off(self):
        for policy, says in (('{"kinds": ["SNAPSHOTS"]}', "SNAPSHOTS"), ("[]", "STILLFRAME_POLICY"),
                             ('{"files": {"forbid": []}}', "files.forbid")):
            self.write(policy)
            done = subprocess.run([str(self.program)], input="", capture_output=True, text=True,
                                  env=self.server.agent_env(self.agent_key, "web",
                                                            STILLFRAME_POLICY=self.policy))
            self.assertEqual(done.returncode, 0)
            self.assertIn(says, done.stderr)
            self.assertIn("stays off", done.stderr)
        self.policy.unlink()
        done = subprocess.run([str(self.program)], input="", capture_output=True, text=True,
                              env=self.server.agent_env(self.agent_key, "web",
                                                        STILLFRAME_POLICY=self.policy))
        self.assertIn("stays off", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
