"""A ring that outlives its process: kill -9 in the middle of hits, then recover or the next start."""
import json
import mmap
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import time
import unittest

import harness

LIMITS = "snapshotsPerSecond=0,cpuPercent=0,logsPerSecond=0"
IDENTITY = ("conditionFalse", "conditionError", "rateLimited", "budgetStopped", "reentrant",
            "ringFull", "unsafeContext", "captured")


class RecoverTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = harness.compile_target("killed.cc")
        cls.line = harness.line_of("killed.cc", "mark-work")

    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def setUp(self):
        # Memory, as the documentation advises.
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-recover-", dir=base))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.rings = self.folder / "rings"
        self.rings.mkdir(mode=0o700)

    def snapshot(self, **more):
        return {"id": "tp", "location": {"file": "killed.cc", "line": self.line},
                "expressions": ["n", "of", "twice", "text"],
                "limits": {"maxHits": 10**9, "perSecond": 10000, "perTrace": 0}, **more}

    def start(self, tracepoints, mode=("run",), pause_us=2000, name="host", **extra):
        """A host that is ready and armed; its folder holds `done`, `out` and `err`."""
        folder = self.folder / name
        folder.mkdir()
        (folder / "tracepoints.json").write_text(json.dumps({"tracepoints": tracepoints}))
        env = {**harness.agent_env(), "STILLFRAME_TRACEPOINTS": str(folder / "tracepoints.json"),
               "STILLFRAME_OUTPUT": str(folder / "out"), "STILLFRAME_START_WAIT": "30s",
               "STILLFRAME_RING_DIR": str(self.rings), "STILLFRAME_LIMITS": LIMITS,
               "STILLFRAME_LOG": "info", **extra}
        with open(folder / "err", "w") as errors:
            process = subprocess.Popen(
                [str(self.program), str(folder / "done"), str(pause_us), *mode], env=env,
                stdout=subprocess.PIPE, stderr=errors, text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "ready\n", (folder / "err").read_text())
        self.addCleanup(process.stdout.close)
        process.folder = folder
        return process

    def done(self, process, thread):
        with open(process.folder / "done", "rb") as file:
            with mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ) as words:
                return struct.unpack_from("<Q", words, 8 * thread)[0]

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait()

    def written(self, process):
        """Whole lines only: the last may have been cut by the kill."""
        text = (process.folder / "out").read_text()
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def recover(self, *args, check=0):
        run = subprocess.run([str(harness.CLI), "recover", "--output", "json", *map(str, args)],
                             capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, check, run.stderr)
        return json.loads(run.stdout)["processes"] if run.stdout else [], run.stderr

    def number(self, snapshot):
        return int(re.search(r"_(\d+)$", snapshot["id"]).group(1))

    def check_values(self, snapshot):
        values = {value["text"]: value for value in snapshot["expressions"]}
        run, thread = int(values["n"]["value"]), int(values["of"]["value"])
        self.assertEqual(int(values["twice"]["value"]), 2 * run)
        self.assertEqual(values["text"]["value"], f'"run {run} of {thread}"')
        return thread, run

    def check_complete(self, process, recovered):
        """Every number is there once, every value is right, both identities hold."""
        written = self.written(process)
        everything = written + recovered["snapshots"]
        # The line may have been written and not noted when the kill came: one at most is in both.
        numbers = sorted(map(self.number, everything))
        self.assertEqual(sorted(set(numbers)), list(range(1, numbers[-1] + 1)))
        self.assertLessEqual(len(numbers) - len(set(numbers)), 64, "more than a batch is twice there")
        runs = {self.check_values(one) for one in everything}
        counters = recovered["tracepoints"][0]["counters"]
        self.assertEqual(counters["hits"], sum(counters[name] for name in IDENTITY), counters)
        self.assertEqual(counters["captured"], counters["acked"] + counters["inFlight"] +
                         sum(counters["dropped"].values()), counters)
        self.assertEqual(counters["inFlight"], len(recovered["snapshots"]))
        self.assertEqual(counters["captured"], len(set(numbers)))
        missing = [(thread, run) for thread in (0, 1)
                   for run in range(1, self.done(process, thread) + 1)
                   if (thread, run) not in runs]
        # Declined hits are as of the agent's last turn: had it none for so long that the ring was
        # full, what it took then was not sent yet when the kill came.
        if missing and counters["ringFull"] == 0:
            self.assertGreaterEqual(len(recovered["snapshots"]), 32, missing)
        return everything

    def test_kill_in_the_midst_of_hits(self):
        process = self.start([self.snapshot()])
        harness.wait_for("hits", lambda: self.done(process, 0) > 300)
        rings = list(self.rings.glob("*.ring"))
        self.assertEqual(len(rings), 1)
        for file in self.rings.iterdir():
            self.assertEqual(file.stat().st_mode & 0o777, 0o600, file)
        # Nobody takes it from a living process.
        self.assertEqual(self.recover(self.rings), ([], self.recover(self.rings)[1]))
        self.assertIn("living process", self.recover(self.rings)[1])
        self.kill(process)
        processes, errors = self.recover(rings[0])
        self.assertEqual(errors, "")
        self.assertEqual(processes[0]["pid"], process.pid)
        self.assertEqual(processes[0]["problems"], [])
        self.check_complete(process, processes[0])
        frame = processes[0]["snapshots"][0]["frames"] if processes[0]["snapshots"] else None
        if frame:
            self.assertIn("Work", frame[0]["function"])
            self.assertIn("Loop", frame[1]["function"])
            password = harness.variable(frame[0], "password")
            self.assertEqual(password["status"], "REDACTED")
        # Looking takes nothing away; removing does.
        again, _ = self.recover(self.rings, "--remove")
        self.assertEqual(again[0]["snapshots"], processes[0]["snapshots"])
        self.assertEqual(list(self.rings.iterdir()), [])

    def test_records_that_the_agent_never_saw(self):
        """The program dies within its agent's turn: everything is in the ring and nowhere else."""
        for attempt in range(5):
            process = self.start([self.snapshot()], mode=("die", "20"), name=f"host{attempt}")
            process.wait()
            self.assertEqual(process.returncode, -signal.SIGKILL)
            files = b"".join(file.read_bytes() for file in self.rings.iterdir())
            processes, _ = self.recover(self.rings, "--remove")
            everything = self.check_complete(process, processes[0])
            self.assertEqual(len({self.number(one) for one in everything}), 20)
            if len(processes[0]["snapshots"]) == 20:
                self.assertTrue(b"run 17 of 0" in files)
                for one in processes[0]["snapshots"]:
                    password = harness.variable(one["frames"][0], "password")
                    self.assertEqual(password["status"], "REDACTED")
                return
        self.fail("the agent was always faster")

    def test_secrets_do_not_stay(self):
        """What a record holds of the stack is wiped with it; what waits decoded is redacted."""
        process = self.start([self.snapshot()], mode=("once", "20"), pause_us=0)
        harness.wait_for("snapshots", lambda: len(self.written(process)) == 20)
        self.kill(process)
        files = b"".join(file.read_bytes() for file in self.rings.iterdir())
        self.assertTrue(b"run 17 of 0" in files, "the outbox's part")
        self.assertFalse(b"hunter2" in files)

    def test_the_next_start_ships_it(self):
        process = self.start([self.snapshot()])
        harness.wait_for("hits", lambda: self.done(process, 1) > 200)
        self.kill(process)
        before, _ = self.recover(self.rings)
        second = self.start([], mode=("once", "1"), name="next",
                            STILLFRAME_SERVICE="killed")
        harness.wait_for("shipping", lambda: not list(self.rings.iterdir()))
        shipped = self.written(second)
        self.assertEqual([one["id"] for one in shipped],
                         [one["id"] for one in before[0]["snapshots"]])
        for one in shipped:
            self.assertEqual(one["instance"], before[0]["instance"])
        self.kill(second)

    def test_the_next_start_ships_it_to_the_server(self):
        """What a killed process committed while no server was there: once each, in its own name."""
        server = harness.Server()
        self.addCleanup(server.stop)
        editor, key = server.key("editor"), server.key("agent")
        spec = self.snapshot(limits={"maxHits": 10**9, "perSecond": 10000, "perTrace": 0})
        del spec["id"]
        status, created = server.call("POST", "/v1/services/killed/tracepoints", spec, key=editor)
        self.assertEqual(status, 201, created)

        def listed(instance):
            found, token = [], ""
            while True:
                status, page = server.call(
                    "GET", f"/v1/snapshots?tracepoint={created['id']}&pageSize=500{token}",
                    key=editor)
                self.assertEqual(status, 200, page)
                found += [one for one in page["snapshots"] if one["instance"] == instance]
                if not page.get("nextPageToken"):
                    return found
                token = "&pageToken=" + page["nextPageToken"]

        env = {"STILLFRAME_TRACEPOINTS": "", "STILLFRAME_OUTPUT": "",
               "STILLFRAME_SERVICE": "killed", "STILLFRAME_SERVER": server.url,
               "STILLFRAME_API_KEY": key}
        process = self.start([], pause_us=5000, **env)
        _, agents = server.call("GET", "/v1/services/killed/agents", key=editor)
        instance = agents["agents"][0]["instance"]
        harness.wait_for("snapshots", lambda: listed(instance))
        server.kill()
        before = self.done(process, 0)
        harness.wait_for("hits without a server", lambda: self.done(process, 0) > before + 100)
        self.kill(process)
        left, _ = self.recover(self.rings)
        self.assertGreater(len(left[0]["snapshots"]), 100)
        self.assertEqual(left[0]["instance"], instance)
        server.start()
        files = set(self.rings.iterdir())
        second = self.start([], mode=("once", "1"), name="next", **env)
        harness.wait_for("shipping", lambda: not files & set(self.rings.iterdir()))
        snapshots = listed(instance)
        runs = [self.check_values(one) for one in snapshots]
        self.assertEqual(len(runs), len(set(runs)), "something is there twice")
        # The server knows what became of all its hits.
        _, shown = server.call("GET", f"/v1/tracepoints/{created['id']}", key=editor)
        counters = next(one for one in shown["agents"] if one["instance"] == instance)["counters"]
        self.assertEqual(counters["captured"], len(runs))
        self.assertEqual(counters["acked"], len(runs))
        self.assertEqual(counters["inFlight"], 0)
        self.assertEqual(counters["dropped"], {})
        self.assertEqual(counters["hits"], sum(counters[name] for name in IDENTITY), counters)
        if counters["ringFull"] == 0:
            for thread in (0, 1):
                wanted = {(thread, run) for run in range(1, self.done(process, thread) + 1)}
                self.assertEqual(wanted - set(runs), set())
        self.kill(second)

    def test_what_a_killed_process_left_of_its_share_the_next_takes(self):
        """At once, and never more than asked for: the server hears what was captured."""
        server = harness.Server()
        self.addCleanup(server.stop)
        editor, key = server.key("editor"), server.key("agent")
        spec = self.snapshot(limits={"maxHits": 50, "perSecond": 10000, "perTrace": 0})
        del spec["id"]
        _, created = server.call("POST", "/v1/services/killed/tracepoints", spec, key=editor)
        env = {"STILLFRAME_TRACEPOINTS": "", "STILLFRAME_OUTPUT": "",
               "STILLFRAME_SERVICE": "killed", "STILLFRAME_SERVER": server.url,
               "STILLFRAME_API_KEY": key}
        process = self.start([], mode=("die", "30"), **env)
        process.wait()
        second = self.start([], pause_us=5000, name="next", **env)

        def stored():
            _, page = server.call(
                "GET", f"/v1/snapshots?tracepoint={created['id']}&pageSize=500", key=editor)
            return len(page["snapshots"])
        harness.wait_for("all that were asked for", lambda: stored() >= 50)
        before = self.done(second, 0)
        harness.wait_for("more hits", lambda: self.done(second, 0) > before + 100)
        self.assertEqual(stored(), 50)
        self.kill(second)

    def test_the_command_sends_it(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        editor, key = server.key("editor"), server.key("agent")
        spec = self.snapshot(limits={"maxHits": 10**9, "perSecond": 10000, "perTrace": 0})
        del spec["id"]
        _, created = server.call("POST", "/v1/services/killed/tracepoints", spec, key=editor)
        process = self.start([], pause_us=5000, STILLFRAME_TRACEPOINTS="", STILLFRAME_OUTPUT="",
                             STILLFRAME_SERVICE="killed", STILLFRAME_SERVER=server.url,
                             STILLFRAME_API_KEY=key)
        server.kill()
        before = self.done(process, 0)
        harness.wait_for("hits without a server", lambda: self.done(process, 0) > before + 100)
        self.kill(process)
        server.start()
        to = ("--send", "--remove", "--server", server.url, "--key")
        files = sorted(self.rings.iterdir())
        nothing, errors = self.recover(self.rings, *to, editor, check=1)
        self.assertEqual(nothing, [])
        self.assertIn("403", errors)
        self.assertEqual(sorted(self.rings.iterdir()), files)
        sent, errors = self.recover(self.rings, *to, key)
        self.assertEqual((errors, sent[0]["problems"]), ("", []))
        self.assertGreater(sent[0]["sent"], 100)
        self.assertEqual(list(self.rings.iterdir()), [])
        _, page = server.call(
            "GET", f"/v1/snapshots?tracepoint={created['id']}&pageSize=1000", key=editor)
        runs = [self.check_values(one) for one in page["snapshots"]]
        self.assertEqual(len(runs), len(set(runs)))
        self.assertEqual({one["instance"] for one in page["snapshots"]}, {sent[0]["instance"]})
        _, shown = server.call("GET", f"/v1/tracepoints/{created['id']}", key=editor)
        counters = shown["agents"][0]["counters"]
        self.assertEqual((counters["captured"], counters["acked"], counters["inFlight"]),
                         (len(runs), len(runs), 0))

    def test_another_service_leaves_it_alone(self):
        process = self.start([self.snapshot()])
        harness.wait_for("hits", lambda: self.done(process, 0) > 50)
        self.kill(process)
        files = sorted(self.rings.iterdir())
        second = self.start([], mode=("once", "1"), name="next", STILLFRAME_SERVICE="other")
        time.sleep(0.5)
        self.assertEqual(sorted(self.rings.iterdir()), files)
        self.kill(second)

    def test_two_processes(self):
        hosts = [self.start([self.snapshot()], name=f"host{i}") for i in range(2)]
        for host in hosts:
            harness.wait_for("hits", lambda host=host: self.done(host, 0) > 100)
        self.kill(hosts[0])
        processes, errors = self.recover(self.rings)
        self.assertEqual([one["pid"] for one in processes], [hosts[0].pid])
        self.assertIn("living process", errors)
        self.check_complete(hosts[0], processes[0])
        self.kill(hosts[1])
        processes, _ = self.recover(self.rings)
        self.assertEqual(sorted(one["pid"] for one in processes), sorted(h.pid for h in hosts))
        for one in processes:
            self.check_complete(next(h for h in hosts if h.pid == one["pid"]), one)

    def test_children_write_nothing_into_it(self):
        for mode in ("fork", "raw"):
            with self.subTest(mode=mode):
                process = self.start([self.snapshot(), self.log("log")], mode=(mode,), name=mode)
                harness.wait_for("children", lambda: self.done(process, 200) == 1)
                harness.wait_for("hits", lambda: self.done(process, 0) > 100)
                self.assertEqual(self.done(process, 100), 3000)
                self.kill(process)
                processes, _ = self.recover(self.rings, "--remove")
                everything = self.written(process) + processes[0]["snapshots"]
                for one in everything:
                    if one.get("kind", "SNAPSHOT") == "SNAPSHOT":
                        self.assertLess(self.check_values(one)[0], 2)
                    else:
                        self.assertRegex(one["message"], r"^run \d+ of [01] twice \d+$")

    def log(self, name):
        return {"id": name, "kind": "LOG", "location": {"file": "killed.cc", "line": self.line},
                "logMessage": "{text} twice {twice}"}

    def test_log_messages(self):
        process = self.start([self.log("log")], pause_us=200)
        harness.wait_for("hits", lambda: self.done(process, 0) > 1000)
        self.kill(process)
        processes, errors = self.recover(self.rings)
        self.assertEqual((errors, processes[0]["problems"]), ("", []))
        everything = self.written(process) + processes[0]["snapshots"]
        messages = {one["message"] for one in everything}
        numbers = sorted({self.number(one) % (1 << 62) for one in everything})
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        for one in everything:
            run = int(re.match(r"run (\d+) of", one["message"].strip('"')).group(1))
            self.assertIn(f"twice {2 * run}", one["message"])
        counters = processes[0]["tracepoints"][0]["counters"]
        self.assertEqual(counters["captured"], len(numbers))
        if counters["ringFull"] == 0:
            for thread in (0, 1):
                for run in range(1, self.done(process, thread) + 1):
                    self.assertIn(f"run {run} of {thread} twice {2 * run}", messages)

    def test_spans(self):
        span = {"id": "span", "kind": "SPAN", "location": {"function": "Work"}}
        process = self.start([span], pause_us=200)
        harness.wait_for("hits", lambda: self.done(process, 0) > 1000)
        self.kill(process)
        processes, errors = self.recover(self.rings)
        self.assertEqual((errors, processes[0]["problems"]), ("", []))
        everything = self.written(process) + processes[0]["snapshots"]
        numbers = sorted({self.number(one) % (1 << 62) for one in everything})
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        for one in everything:
            self.assertEqual(one["kind"], "SPAN")
            self.assertIn("Work", one["frames"][0]["function"])
            self.assertRegex(one["time"], r"^20\d\d-")
            # It does next to nothing, and may lose its processor meanwhile.
            self.assertGreater(one["durationNanos"], 0)
            self.assertLess(one["durationNanos"], 5 * 10**9)
        counters = processes[0]["tracepoints"][0]["counters"]
        self.assertEqual(counters["captured"], len(numbers))
        self.assertEqual(counters["inFlight"], len(processes[0]["snapshots"]))

    def test_orderly_end_and_exec(self):
        """What was delivered leaves nothing; a process that replaced itself is dead."""
        process = self.start([self.snapshot()], mode=("exec",))
        harness.wait_for("exec", lambda: "sleep" in os.readlink(f"/proc/{process.pid}/exe"))
        processes, _ = self.recover(self.rings, "--remove")
        self.assertEqual(len(self.written(process)) + len(processes[0]["snapshots"]), 1)

    def test_damage_is_named(self):
        process = self.start([self.snapshot()])
        harness.wait_for("hits", lambda: self.done(process, 0) > 100)
        self.kill(process)
        ring = next(self.rings.glob("*.ring"))
        whole = ring.read_bytes()
        ring.write_bytes(whole[:100_000])
        self.assertIn("cut off", self.recover(self.rings, check=1)[1])
        ring.write_bytes(b"\x7fELF" + whole[4:])
        self.assertIn("no ring", self.recover(self.rings, check=1)[1])
        ring.write_bytes(whole[:8] + b"\x09" + whole[9:])
        self.assertIn("version is 9", self.recover(self.rings, check=1)[1])
        ring.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
        self.assertIn("damaged", self.recover(self.rings, check=1)[1])
        ring.write_bytes(whole)
        plans = ring.with_suffix(".plans")
        text = plans.read_bytes()
        plans.write_bytes(text[:-3])  # torn while it was written
        processes, _ = self.recover(self.rings)
        self.assertIn("torn", processes[0]["problems"][0])
        self.check_complete(process, processes[0])
        plans.unlink()
        self.assertIn("nothing says what is in", self.recover(self.rings, check=1)[1])

    def test_strangers_are_refused(self):
        target = self.folder / "elsewhere"
        target.write_bytes(b"x" * 100)
        (self.rings / "link.ring").symlink_to(target)
        self.assertIn("link.ring", self.recover(self.rings, check=1)[1])
        (self.rings / "link.ring").unlink()
        os.mkfifo(self.rings / "pipe.ring", 0o600)
        self.assertIn("no plain file", self.recover(self.rings, check=1)[1])
        (self.rings / "pipe.ring").unlink()
        (self.rings / "open.ring").write_bytes(b"")
        (self.rings / "open.ring").chmod(0o666)
        self.assertIn("others may write", self.recover(self.rings, check=1)[1])
        self.assertEqual(target.read_bytes(), b"x" * 100)

    def test_where_no_ring_can_be_made(self):
        """The host runs on with a private ring, and the reason is said."""
        self.rings.chmod(0o777)
        process = self.start([self.snapshot()])
        harness.wait_for("hits", lambda: len(self.written(process)) > 20)
        self.assertIn("the ring stays private", (process.folder / "err").read_text())
        self.assertEqual(list(self.rings.iterdir()), [])
        self.kill(process)

    def test_a_full_disk(self):
        mount = self.folder / "tiny"
        mount.mkdir()
        size = 2 << 20
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", mount],
                          capture_output=True).returncode != 0:
            self.skipTest("no right to mount")
        self.addCleanup(subprocess.run, ["umount", "-l", mount], check=True)
        process = self.start([self.snapshot()], STILLFRAME_RING_DIR=str(mount))
        harness.wait_for("hits", lambda: len(self.written(process)) > 20)
        self.assertIn("No space left", (process.folder / "err").read_text())
        self.assertEqual(list(mount.iterdir()), [])
        self.kill(process)


if __name__ == "__main__":
    unittest.main()
