"""Base of the end-to-end tests in which processes run under a server."""
import subprocess
import unittest

import harness

OUTCOMES = ("conditionFalse", "conditionError", "rateLimited", "budgetStopped", "reentrant",
            "ringFull", "unsafeContext", "captured")


class ServiceTest(unittest.TestCase):
    SOURCE = "service.cc"
    MARK = "mark-handle"
    SERVER_ARGS = ()

    def setUp(self):
        self.server = harness.Server(args=self.SERVER_ARGS)
        self.addCleanup(self.server.stop)
        self.agent_key = self.server.key("agent")
        self.editor = self.server.key("editor")
        self.program = harness.compile_target(
            self.SOURCE, flags=("-O2", "-g", f"-I{harness.SOURCE / 'include'}"))
        self.line = harness.line_of(self.SOURCE, self.MARK)

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def start_service(self, name="web", args=(), **env):
        """A process of the service that is connected; its `instance` is set."""
        before = {agent["instance"] for agent in self.agents(name)}
        process = subprocess.Popen(
            [str(self.program), *args],
            env=self.server.agent_env(self.agent_key, name, **env),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        process.instance = harness.wait_for("the agent to appear", lambda: next(
            (agent["instance"] for agent in self.agents(name)
             if agent["instance"] not in before), None))
        return process

    def start_requests(self, name="web", **env):
        """A process of requests.cc; `send` gives it a batch and waits for its end."""
        before = {agent["instance"] for agent in self.agents(name)}
        process = subprocess.Popen(
            [str(self.program)], env=self.server.agent_env(self.agent_key, name, **env),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        process.instance = harness.wait_for("the agent to appear", lambda: next(
            (agent["instance"] for agent in self.agents(name)
             if agent["instance"] not in before), None))
        return process

    def send(self, process, *words):
        process.stdin.write(" ".join(str(word) for word in words) + "\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), f"done {words[0]}\n")

    def end(self, process):
        if process.stdin is not None and process.poll() is None:
            process.communicate(timeout=20)
        elif process.poll() is None:
            process.terminate()
        _, err = process.communicate(timeout=20)
        self.assertIn(process.returncode, (0, -9), err)

    def call(self, method, path, body=None, key=None, expect=200):
        status, answer = self.server.call(method, path, body, key=key or self.editor)
        self.assertEqual(status, expect, answer)
        return answer

    def agents(self, service="web"):
        status, body = self.server.call("GET", f"/v1/services/{service}/agents", key=self.editor)
        return body["agents"] if status == 200 else []

    def create(self, service="web", **spec):
        spec.setdefault("location", {"file": self.SOURCE, "line": self.line})
        return self.call("POST", f"/v1/services/{service}/tracepoints", spec, expect=201)["id"]

    def show(self, tracepoint):
        return self.call("GET", f"/v1/tracepoints/{tracepoint}")

    def status(self, tracepoint, instance=None):
        """The status in one process (the only one when not named), or None."""
        for agent in self.show(tracepoint)["agents"]:
            if instance in (None, agent["instance"]):
                return agent
        return None

    def wait_state(self, tracepoint, *states, instance=None, seconds=20):
        def reached():
            status = self.status(tracepoint, instance)
            return status if status and status["state"] in states else None
        return harness.wait_for(f"{tracepoint} in {states}", reached, seconds)

    def snapshots(self, tracepoint, **query):
        text = "".join(f"&{k}={v}" for k, v in query.items())
        return self.call("GET", f"/v1/snapshots?tracepoint={tracepoint}&pageSize=1000{text}")[
            "snapshots"]

    def check_identities(self, counters):
        self.assertEqual(counters["hits"], sum(counters[name] for name in OUTCOMES), counters)
        self.assertEqual(counters["captured"], counters["acked"] + counters["inFlight"]
                         + sum(counters["dropped"].values()), counters)

    def settled(self, tracepoint, instance=None):
        """Counters that do not move any more."""
        seen = []

        def still():
            status = self.status(tracepoint, instance)
            seen.append(status["counters"] if status else None)
            return len(seen) > 150 and seen[-150] == seen[-1] and seen[-1]
        return harness.wait_for("counters that rest", still)
