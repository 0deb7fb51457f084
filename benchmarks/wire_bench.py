#!/usr/bin/env python3
"""Bytes and cost of published snapshots, of the example service under load.

Kills the service (docs/recovery.md) to have real snapshots as the agent holds them, and runs
stillframe_wire_bench on them.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(SOURCE / "tests" / "e2e"))
import harness  # noqa: E402

BIN = harness.BUILD / "bin"


def mark():
    source = SOURCE / "examples" / "orders" / "checkout.cc"
    lines = source.read_text().splitlines()
    return next(n for n, text in enumerate(lines, 1) if "demo: tracepoint here" in text)


def one_kill(folder):
    """The ring of one service that was killed while its agent had snapshots that nobody took."""
    (folder / "tracepoints.json").write_text(json.dumps({"tracepoints": [{
        "id": "tp", "location": {"file": "checkout.cc", "line": mark()},
        "expressions": ["order.total", "order.customer->name"],
        "limits": {"maxHits": 1_000_000, "perSecond": 10_000, "perTrace": 0}}]}))
    # What nobody reads fills the pipe: then snapshots wait, as they do for a slow server.
    os.mkfifo(folder / "output")
    reader = os.open(folder / "output", os.O_RDONLY | os.O_NONBLOCK)
    env = harness.agent_env(
        STILLFRAME_TRACEPOINTS=folder / "tracepoints.json", STILLFRAME_OUTPUT=folder / "output",
        STILLFRAME_RING_DIR=folder, STILLFRAME_START_WAIT="20s",
        STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=0")
    service = subprocess.Popen([BIN / "orders-traced", "--port", "0"], env=env, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    port = re.search(r"listening on (\d+)", service.stdout.readline()).group(1)
    load = subprocess.Popen([BIN / "orders-load", "--port", port, "--rate", "400", "--seconds", "4"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(3)
    service.send_signal(signal.SIGKILL)
    service.wait()
    load.kill()
    load.wait()
    os.close(reader)
    return next(folder.glob("*.ring"))


def main():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        ring = one_kill(pathlib.Path(folder))
        subprocess.run([BIN / "stillframe_wire_bench", ring], check=True)


if __name__ == "__main__":
    main()
