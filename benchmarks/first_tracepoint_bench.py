"""From the REST call to armed, to stored, and to the terminal: the first tracepoint of a process and
a later one. A fresh order service under load each time; medians, and all values.

  first_tracepoint_bench.py
Environment: STILLFRAME_BUILD, STILLFRAME_BENCH_RUNS (processes, 10), STILLFRAME_BENCH_RATE (orders a
second, 2000)."""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
import harness  # noqa: E402

RUNS = int(os.environ.get("STILLFRAME_BENCH_RUNS", "10"))
RATE = os.environ.get("STILLFRAME_BENCH_RATE", "2000")
CHECKOUT = harness.SOURCE / "examples" / "orders" / "checkout.cc"
MARK = "demo: tracepoint here"


def post_and_wait(server, service, line):
    """Seconds from the POST to armed, to the stored snapshot, to the end of `tail`."""
    tail = subprocess.Popen(
        [str(harness.CLI), "--server", server.url, "--key", server.admin_key, "tail", "--service",
         service, "--count", "1"], stdout=subprocess.PIPE)
    harness.wait_for("the stream", lambda: "event_streams 1\n" in metrics(server))
    printed = []
    reader = threading.Thread(target=lambda: (tail.stdout.read(), printed.append(time.monotonic())))
    reader.start()
    began = time.monotonic()
    _, tracepoint = server.call("POST", f"/v1/services/{service}/tracepoints",
                                {"location": {"file": "checkout.cc", "line": line}})
    armed = stored = None
    while stored is None:
        if armed is None:
            _, body = server.call("GET", f"/v1/tracepoints/{tracepoint['id']}")
            if body["agents"] and body["agents"][0]["state"] != "RECEIVED":
                armed = time.monotonic() - began
        _, body = server.call("GET", f"/v1/snapshots?tracepoint={tracepoint['id']}&pageSize=1")
        if body["snapshots"]:
            stored = time.monotonic() - began
        time.sleep(0.002)
    reader.join()
    tail.wait()
    server.call("DELETE", f"/v1/tracepoints/{tracepoint['id']}")
    return armed if armed is not None else stored, stored, printed[0] - began


def metrics(server):
    with urllib.request.urlopen(server.url + "/metrics", timeout=10) as answer:
        return answer.read().decode()


def one_process(server, key, number, line):
    service = f"shop{number}"
    with tempfile.TemporaryFile("w+") as out:
        program = subprocess.Popen(
            [str(harness.BUILD / "bin" / "orders"), "--port", "0", "--threads", "2"],
            env=server.agent_env(key, service), stdout=out, stderr=subprocess.DEVNULL)

        def port():
            out.seek(0)
            return re.search(r"listening on (\d+)", out.read())

        found = harness.wait_for("the service", port).group(1)
        harness.wait_for("the agent", lambda: server.call(
            "GET", f"/v1/services/{service}/agents")[1]["agents"])
        load = subprocess.Popen(
            [str(harness.BUILD / "bin" / "orders-load"), "--port", found, "--connections", "2",
             "--rate", RATE, "--seconds", "120", "--json"], stdout=subprocess.DEVNULL)
        try:
            return post_and_wait(server, service, line), post_and_wait(server, service, line)
        finally:
            load.kill()
            load.wait()
            program.terminate()
            program.wait()


def main():
    line = next(number for number, text in enumerate(CHECKOUT.read_text().splitlines(), 1)
                if MARK in text)
    server = harness.Server()
    try:
        key = server.key("agent")
        runs = [one_process(server, key, number, line) for number in range(RUNS)]
    finally:
        server.stop()
    for index, which in enumerate(("first tracepoint of a process", "the next one")):
        for step, name in enumerate(("armed", "snapshot stored", "snapshot on the terminal")):
            values = sorted(run[index][step] * 1000 for run in runs)
            print(f"{which}, {name}, ms: median {statistics.median(values):.0f}  ("
                  + " ".join(f"{value:.0f}" for value in values) + ")")


if __name__ == "__main__":
    main()
