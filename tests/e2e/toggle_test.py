"""Tracepoints come and go under load: nothing crashes, no sum is disturbed, the text is restored."""
import json
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

import harness

SECONDS = float(os.environ.get("STILLFRAME_TOGGLE_SECONDS", "8"))


class ToggleTest(unittest.TestCase):
    def test_arm_and_disarm_under_load(self):
        program = harness.compile_target("spin.cc")
        lines = [n for n, text in enumerate((harness.TARGETS / "spin.cc").read_text().splitlines(), 1)
                 if "// probe" in text]
        with tempfile.TemporaryDirectory() as folder:
            wanted = pathlib.Path(folder) / "t.json"
            output = pathlib.Path(folder) / "o.jsonl"
            wanted.write_text('{"tracepoints": []}')
            process = subprocess.Popen(
                [str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True,
                env=harness.agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output))
            end = time.monotonic() + SECONDS
            rounds = 0
            while time.monotonic() < end and process.poll() is None:
                rounds += 1
                on = [{"id": f"{rounds}-{line}", "location": {"file": "spin.cc", "line": line},
                       "condition": "value % 1000003 == 5" if line % 2 else "",
                       "limits": {"maxHits": 1000, "perSecond": 50}}
                      for line in lines if (line + rounds) % 3]
                new = wanted.with_suffix(".new")
                new.write_text(json.dumps({"tracepoints": on if rounds % 2 else []}))
                os.replace(new, wanted)
                time.sleep(0.12)
            self.assertIsNone(process.poll(), process.stderr.read() if process.poll() else "")
            new.write_text('{"tracepoints": []}')
            os.replace(new, wanted)
            harness.wait_for("the text as in the file",
                             lambda: harness.text_differences(process.pid) == 0)
            out, err = process.communicate("stop\n", timeout=30)
            self.assertEqual(process.returncode, 0, err)
            self.assertEqual(out, "ok\n", err)
            snapshots = output.read_text().splitlines()
            print(f"{rounds} changes, {len(snapshots)} snapshots")
            self.assertGreater(len(snapshots), 0)
            for text in snapshots:
                self.assertTrue(json.loads(text)["frames"])
        harness.cleanup_targets()


if __name__ == "__main__":
    unittest.main(verbosity=2)
