"""Runs a host with and without the agent and compares everything that an outsider can see."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

import harness

OUTCOMES = ("conditionFalse", "conditionError", "rateLimited", "budgetStopped", "reentrant",
            "ringFull", "unsafeContext", "captured")
# A probe stays in for the whole test, and there are not so many snapshots that the last 500 ms of a
# process on a busy machine would be spent on them: it is the host's behaviour that is looked at.
NO_LIMITS = {"maxHits": 1000000, "perSecond": 100}
UNLIMITED = "snapshotsPerSecond=0,cpuPercent=0"


def tracepoint(source, mark, **spec):
    """A tracepoint on the line of `source` with `// mark`."""
    limits = dict(NO_LIMITS, **spec.pop("limits", {}))
    return {"id": mark, "location": {"file": source, "line": harness.line_of(source, mark)},
            "limits": limits, **spec}


class Outcome:
    """What a host did: exit status, output, and the agent's words about each tracepoint."""

    def __init__(self, returncode, stdout, stderr, snapshots=()):
        self.returncode = returncode
        self.stdout = stdout
        self.stderr = stderr
        self.snapshots = list(snapshots)
        self.final = {}
        for found in re.finditer(r"^stillframe: tracepoint (\S+): final (\{.*\})$", stderr, re.M):
            self.final[found.group(1)] = json.loads(found.group(2))

    def host_stderr(self):
        return "".join(line for line in self.stderr.splitlines(True)
                       if not line.startswith("stillframe: "))

    def counters(self, mark):
        # The JSON leaves out what is zero.
        raw = self.final[mark].get("counters", {})
        return {name: int(raw.get(name, 0)) for name in (*OUTCOMES, "hits", "acked", "inFlight")} | {
            "dropped": {k: int(v) for k, v in raw.get("dropped", {}).items()}}

    def sites(self, mark):
        return [site for site in self.final[mark].get("sites", []) if site.get("method")]


def run(command, env=None, timeout=60, stdin=None):
    done = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True,
                          timeout=timeout, stdin=stdin or subprocess.DEVNULL, errors="replace")
    return Outcome(done.returncode, done.stdout, done.stderr)


def file_mode(folder, tracepoints, **extra):
    """Environment of the agent in file mode over `folder`."""
    wanted = pathlib.Path(folder) / "tracepoints.json"
    output = pathlib.Path(folder) / "snapshots.jsonl"
    write_tracepoints(folder, tracepoints)
    return harness.agent_env(**{
        "STILLFRAME_TRACEPOINTS": wanted, "STILLFRAME_OUTPUT": output,
        "STILLFRAME_START_WAIT": "20s", "STILLFRAME_LOG": "info",
        "STILLFRAME_LIMITS": UNLIMITED, **extra})


def write_tracepoints(folder, tracepoints):
    """Replaces the file at once, so that no half of it is ever read."""
    wanted = pathlib.Path(folder) / "tracepoints.json"
    new = wanted.with_suffix(".new")
    new.write_text(json.dumps({"tracepoints": tracepoints}))
    os.replace(new, wanted)


def snapshots(folder):
    output = pathlib.Path(folder) / "snapshots.jsonl"
    return [json.loads(line) for line in output.read_text().split("\n") if line] if output.exists() else []


def run_with_agent(command, tracepoints, timeout=60, env=None, last_words=False):
    """last_words: run again when the agent had none. It gets 500 ms at exit and then lets the host
    go, which on a busy machine may be too short."""
    for _ in range(4 if last_words else 1):
        outcome = run_once_with_agent(command, tracepoints, timeout, env)
        if all(wanted["id"] in outcome.final for wanted in tracepoints):
            break
    return outcome


def run_once_with_agent(command, tracepoints, timeout, env):
    with tempfile.TemporaryDirectory(prefix="sf-host-") as folder:
        outcome = run(command, file_mode(folder, tracepoints, **(env or {})), timeout)
        outcome.snapshots = snapshots(folder)
        return outcome


class HostTest(unittest.TestCase):
    """Base of the tests that compare a host with itself."""

    maxDiff = 4000

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def check_identities(self, outcome, tracepoints):
        for wanted in tracepoints:
            mark = wanted["id"]
            self.assertIn(mark, outcome.final, outcome.stderr)
            count = outcome.counters(mark)
            where = f"{mark}: {count}"
            self.assertEqual(count["hits"], sum(count[name] for name in OUTCOMES), where)
            self.assertEqual(count["captured"], count["acked"] + count["inFlight"]
                             + sum(count["dropped"].values()), where)

    def same(self, command, tracepoints, env=None, timeout=60, finals=True):
        """Runs the command both ways; it must look the same. Returns the outcome with the agent.

        finals=False: the host ends without exit handlers, so there are no last words to check."""
        plain_env = {k: v for k, v in os.environ.items() if not k.startswith("STILLFRAME_")}
        plain = run(command, {**plain_env, **(env or {})}, timeout)
        ours = run_with_agent(command, tracepoints, timeout, env, last_words=finals)
        self.assertEqual(ours.returncode, plain.returncode, ours.stderr[-3000:])
        self.assertEqual(ours.stdout, plain.stdout, ours.stderr[-3000:])
        self.assertEqual(ours.host_stderr(), plain.stderr, ours.stderr[-3000:])
        if finals:
            self.check_identities(ours, tracepoints)
            self.check_armed(ours, tracepoints)
        return ours

    def check_armed(self, outcome, tracepoints):
        """One at least is armed; the others may be refused, but only for their place's sake."""
        armed = [wanted["id"] for wanted in tracepoints if outcome.sites(wanted["id"])]
        self.assertTrue(armed, outcome.stderr[-3000:])
        for wanted in tracepoints:
            if wanted["id"] not in armed:
                self.assertEqual(outcome.final[wanted["id"]]["reason"], "UNSAFE_SITE",
                                 outcome.stderr[-3000:])

    def assert_hits(self, outcome, mark, expected):
        """`expected` executions of the line; every site of it counts."""
        sites = len(outcome.sites(mark))
        self.assertEqual(outcome.counters(mark)["hits"], expected * sites,
                         f"{mark}: {outcome.counters(mark)} over {outcome.sites(mark)}")
