"""What the agent costs a whole service: throughput, start-up, memory, and the worst request while
tracepoints come and go. Whole programs, paired runs in alternating order, medians.

  service_bench.py [throughput] [startup] [memory] [churn]      (all of them by default)
Environment: STILLFRAME_BUILD, STILLFRAME_BENCH_RUNS (pairs, 10), STILLFRAME_BENCH_SECONDS (of churn
in one run, 30)."""
import http.client
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
import harness  # noqa: E402

RUNS = int(os.environ.get("STILLFRAME_BENCH_RUNS", "10"))
CHURN_SECONDS = int(os.environ.get("STILLFRAME_BENCH_SECONDS", "30"))
ORDERS = harness.BUILD / "bin" / "orders"
LOAD = harness.BUILD / "bin" / "orders-load"
CHECKOUT = harness.SOURCE / "examples" / "orders" / "checkout.cc"

STARTUP_PROGRAM = r"""
#include <time.h>
#include <cstdio>
#include <cstdlib>
#include <string>
int main() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  std::string text = std::to_string(now.tv_sec * 1000000000L + now.tv_nsec);
  std::puts(text.c_str());
  std::fflush(stdout);
  _Exit(0);
}
"""


class Service:
    """One order service; env None = without the agent."""

    def __init__(self, env=None, threads=2):
        self.process = subprocess.Popen([str(ORDERS), "--port", "0", "--threads", str(threads)],
                                        env=env, stdout=subprocess.PIPE, text=True)
        self.port = int(re.search(r"listening on (\d+)", self.process.stdout.readline()).group(1))

    def load(self, seconds, connections=2, rate=0):
        args = [str(LOAD), "--port", str(self.port), "--seconds", str(seconds), "--connections",
                str(connections), "--json"]
        done = subprocess.run(args + (["--rate", str(rate)] if rate else []), check=True,
                              capture_output=True, text=True)
        result = json.loads(done.stdout)
        assert result["errors"] == 0, result
        return result

    def memory_kib(self, name):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1))

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)


def spread(values):
    return f"median {statistics.median(values):.4g} (of {len(values)}: {min(values):.4g} to {max(values):.4g})"


def wait_connected(server, service):
    harness.wait_for("the agent", lambda: server.call(
        "GET", f"/v1/services/{service}/agents")[1].get("agents"))


def throughput(server, key):
    """Requests a second with the agent enabled and no tracepoint, against without the agent."""
    ratios, p99s = [], []
    for run in range(RUNS):
        results = {}
        for enabled in ((False, True) if run % 2 == 0 else (True, False)):
            service = Service(server.agent_env(key, f"t{run}") if enabled else None)
            if enabled:
                wait_connected(server, f"t{run}")
            service.load(0.5)
            results[enabled] = service.load(3)
            service.stop()
        ratios.append(results[True]["requestsPerSecond"] / results[False]["requestsPerSecond"])
        p99s.append(results[True]["p99Micros"] / results[False]["p99Micros"])
    print(f"throughput, enabled and idle / without: {spread(ratios)}")
    print(f"p99 latency, enabled and idle / without: {spread(p99s)}")


def startup(server, key):
    """From just before the program is started to its main()."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "start"
        subprocess.run(["g++", "-O2", "-x", "c++", "-", "-o", str(program)], input=STARTUP_PROGRAM,
                       text=True, check=True)
        plain = {k: v for k, v in os.environ.items() if not k.startswith("STILLFRAME_")}
        off = dict(plain, LD_PRELOAD=str(harness.AGENT))
        micros = {"without": [], "preloaded, off": [], "enabled": []}
        for run in range(60):
            for name, env in (("without", plain), ("preloaded, off", off),
                              ("enabled", server.agent_env(key, "start"))):
                began = time.monotonic_ns()
                done = subprocess.run([str(program)], env=env, capture_output=True, text=True)
                micros[name].append((int(done.stdout) - began) / 1000)
        base = statistics.median(micros["without"])
        for name, values in micros.items():
            median = statistics.median(values)
            print(f"start to main(), {name}: median {median:.0f} us, {median - base:+.0f} us")


def memory(server, key):
    """Resident memory of the idle service, in MiB; private = what the process alone holds."""
    base = None
    for name, env in (("without", None), ("preloaded, off", dict(os.environ, LD_PRELOAD=str(harness.AGENT))),
                      ("enabled, idle", server.agent_env(key, "memory"))):
        service = Service(env)
        if name.startswith("enabled"):
            wait_connected(server, "memory")
        service.load(1)
        time.sleep(1)  # lets the agent settle; the figure is of the idle process
        rss = service.memory_kib("Rss")
        private = service.memory_kib("Private_Dirty") + service.memory_kib("Private_Clean")
        base = base or (rss, private)
        print(f"memory, {name}: resident {rss / 1024:.1f} MiB ({(rss - base[0]) / 1024:+.1f}), "
              f"private {private / 1024:.1f} MiB ({(private - base[1]) / 1024:+.1f})")
        service.stop()


class Churn(threading.Thread):
    """Sets and removes a tracepoint each, 100 times a second, over one connection."""

    def __init__(self, server, name, lines):
        super().__init__()
        self.server, self.name_of_service, self.lines = server, name, lines
        self.stopping = threading.Event()
        self.count = 0

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port)
        headers = {"Authorization": f"Bearer {self.server.admin_key}",
                   "Content-Type": "application/json"}
        next_at = time.monotonic()
        while not self.stopping.is_set():
            line = self.lines[self.count % len(self.lines)]
            body = {"location": {"file": "checkout.cc", "line": line},
                    "limits": {"maxHits": 1000}}
            connection.request("POST", f"/v1/services/{self.name_of_service}/tracepoints",
                               json.dumps(body), headers)
            made = json.loads(connection.getresponse().read())
            connection.request("DELETE", f"/v1/tracepoints/{made['id']}", headers=headers)
            connection.getresponse().read()
            self.count += 1
            next_at += 0.01
            time.sleep(max(0.0, next_at - time.monotonic()))


def churn_load(server, name, env, lines):
    """Load at a fixed rate while tracepoints are set and removed for a service of that name."""
    service = Service(env)
    if env:
        wait_connected(server, name)
    service.load(1)
    changes = Churn(server, name, lines)
    changes.start()
    result = service.load(CHURN_SECONDS, connections=2, rate=1000)
    changes.stopping.set()
    changes.join()
    if env:
        harness.wait_for("the text as in the file",
                         lambda: harness.text_differences(service.process.pid) == 0)
    service.stop()
    return result, changes.count


def churn(server, key):
    """Latency while tracepoints are set and removed, against (a) the same service left alone and
    (b) a service without the agent while server and client do the same work: on few cores those
    two take their share of the machine, which in production is another one's."""
    lines = [n for n, text in enumerate(CHECKOUT.read_text().splitlines(), 1)
             if re.match(r"\s+\w.*;", text)]
    above = {"left alone": [], "no agent": []}
    rounds = 0
    for run in range(max(1, RUNS // 3)):
        name = f"churn{run}"
        service = Service(server.agent_env(key, name))
        wait_connected(server, name)
        service.load(1)
        alone = service.load(CHURN_SECONDS, connections=2, rate=1000)
        service.stop()
        without, _ = churn_load(server, f"nobody{run}", None, lines)
        busy, count = churn_load(server, f"busy{run}", server.agent_env(key, f"busy{run}"), lines)
        rounds += count
        print(f"  run {run}: {count / CHURN_SECONDS:.0f} set and removed a second; us, left alone / "
              "no agent / churned: " + "; ".join(
                  f"{label} {alone[key]:.0f} / {without[key]:.0f} / {busy[key]:.0f}"
                  for label, key in (("p50", "p50Micros"), ("p99", "p99Micros"),
                                     ("p99.9", "p999Micros"), ("worst", "worstMicros"))))
        above["left alone"].append((busy["worstMicros"] - alone["worstMicros"]) / 1000)
        above["no agent"].append((busy["worstMicros"] - without["worstMicros"]) / 1000)
    print(f"churn: {rounds} set and removed; text identical to the file afterwards")
    for what, values in above.items():
        print(f"churn, worst request, ms above '{what}': {spread(values)}")


def main():
    wanted = sys.argv[1:] or ["throughput", "startup", "memory", "churn"]
    server = harness.Server()
    try:
        key = server.key("agent")
        for name in wanted:
            {"throughput": throughput, "startup": startup, "memory": memory,
             "churn": churn}[name](server, key)
    finally:
        server.stop()


if __name__ == "__main__":
    main()
