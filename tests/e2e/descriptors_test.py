"""The host's descriptors are the host's: closed, reused, counted and limited as it likes."""
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import harness
import hosts
from hosts import HostTest, tracepoint


class DescriptorsTest(HostTest):
    def setUp(self):
        self.program = harness.compile_target("descriptors.cc")
        self.captured = [tracepoint("descriptors.cc", "mark-step")]
        folder = tempfile.TemporaryDirectory(prefix="sf-fds-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def start(self, mode, env):
        process = subprocess.Popen([str(self.program), mode, str(self.folder)], env=env,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)
        return process

    def test_numbers_are_what_they_would_be(self):
        outcome = self.same([self.program, "numbers"], self.captured)
        self.assertEqual(outcome.stdout, "first 3 open 4\n")

    def test_no_stranger_is_written_to_or_closed(self):
        with tempfile.TemporaryDirectory(prefix="sf-host-") as folder:
            process = self.start("close", hosts.file_mode(folder, self.captured))
            self.assertEqual(process.stdout.readline(), "open 3\n")
            process.stdin.write("x")
            process.stdin.flush()
            # New tracepoints meanwhile: files are opened, read and given back.
            for turn in range(12):
                marks = self.captured if turn % 2 == 0 else []
                hosts.write_tracepoints(folder, marks + [
                    {"id": f"elsewhere-{turn}", "location": {"file": "nowhere.cc", "line": 1}}])
                time.sleep(0.15)  # the pace of the changes, nothing is waited for
            hosts.write_tracepoints(folder, self.captured)
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, err[-2000:])
            self.assertEqual(out, "strange 0 lost 0\n", err[-2000:])
            self.assertGreater(len(hosts.snapshots(folder)), 0)

    def test_no_stranger_is_written_to_with_a_server(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        status, _ = server.call("POST", "/v1/services/fds/tracepoints", {
            "location": self.captured[0]["location"], "limits": {"maxHits": 1000, "perSecond": 50}})
        self.assertEqual(status, 201)
        env = server.agent_env(server.key("agent"), "fds", STILLFRAME_START_WAIT="20s")
        process = self.start("close", env)
        self.assertEqual(process.stdout.readline(), "open 3\n")
        out, err = process.communicate("x", timeout=60)
        self.assertEqual(process.returncode, 0, err[-2000:])
        self.assertEqual(out, "strange 0 lost 0\n", err[-2000:])
        _, answer = server.call("GET", "/v1/snapshots?service=fds")
        self.assertGreater(len(answer["snapshots"]), 10)

    def test_host_without_a_free_descriptor(self):
        with tempfile.TemporaryDirectory(prefix="sf-host-") as folder:
            # Armed before the host takes its descriptors away: with four in all nothing can be
            # opened any more.
            process = self.start("few", hosts.file_mode(folder, self.captured))
            said = ""
            while "tracepoint mark-step: ARMED" not in said:
                line = process.stderr.readline()
                self.assertTrue(line, said)
                said += line
            process.stdin.write("x")
            process.stdin.flush()
            harness.wait_for("snapshots", lambda: len(hosts.snapshots(folder)) > 0)
            out, err = process.communicate("x", timeout=30)
            self.assertEqual(process.returncode, 0, err[-2000:])
            self.assertEqual(out, "steps 1000\n")
            # What is armed goes on, but the agent has no descriptor left to speak with.

    def test_closing_standard_output_ends_it_for_its_reader(self):
        with tempfile.TemporaryDirectory(prefix="sf-host-") as folder:
            process = self.start("close-standard", hosts.file_mode(folder, self.captured))
            start = time.monotonic()
            out, err = process.stdout.read(), process.stderr.read()
            ended = time.monotonic()
            self.assertEqual(out, "steps 10\n")
            self.assertIn("ARMED", err)
            self.assertIsNone(process.poll(), "the streams ended with the process, not before")
            self.assertEqual(process.wait(timeout=30), 0)
            self.assertLess(ended - start, 20)
            self.assertGreaterEqual(len(hosts.snapshots(folder)), 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
