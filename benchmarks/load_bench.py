#!/usr/bin/env python3
"""Whole programs under the loads of the requirements: is everything accounted for, what does it cost,
does memory stay flat?

  load_bench.py [--seconds N | --minutes N] [declined] [captured] [logged] [span]
"""
import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
import harness  # noqa: E402

IDENTITY = ("conditionFalse", "conditionError", "rateLimited", "budgetStopped", "reentrant",
            "ringFull", "unsafeContext", "captured")
SETTLED_S = 13
LIMITS = "snapshotsPerSecond=0,logsPerSecond=0,cpuPercent=0"
FREE = {"maxHits": 1_000_000_000, "perSecond": 10_000, "perTrace": 0, "expiresIn": "7200s"}
ANY_RATE = {"maxHits": 1_000_000_000, "perTrace": 0, "expiresIn": "7200s"}

PLACE = {"file": "load.cc", "line": harness.line_of("load.cc", "mark-step")}
CASES = {
    "declined": (100_000, {"location": PLACE, "condition": "n < 0", "limits": FREE}),
    "captured": (2_000, {"location": PLACE, "expressions": ["n", "id"], "limits": FREE}),
    "logged": (20_000, {"kind": "LOG", "location": PLACE, "logMessage": "step {n} of {id}",
                        "limits": ANY_RATE}),
    "span": (20_000, {"kind": "SPAN", "location": {"function": "Step"}, "limits": ANY_RATE}),
}


def memory_kib(pid):
    """Private memory in kilobytes, and all that is resident."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    sizes = dict(re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE))
    return int(sizes["Private_Clean"]) + int(sizes["Private_Dirty"]), int(sizes["Rss"])


def cpu_seconds(pid, name):
    """Of the threads of that name."""
    sum_ticks = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        stat = (task / "stat").read_text()
        if f"({name})" in stat:
            fields = stat[stat.rindex(")") + 2:].split()
            sum_ticks += int(fields[11]) + int(fields[12])
    return sum_ticks / os.sysconf("SC_CLK_TCK")


def run_program(program, seconds, rate, env):
    return subprocess.Popen([program, str(seconds), str(rate)], env=env, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)


def said(process):
    line = process.stdout.readline()
    return {name: float(value) for name, value in re.findall(r"(\w+) (-?[\d.]+)", line)}


def plain(program, seconds, rate):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("STILLFRAME_", "LD_PRELOAD"))}
    process = run_program(program, seconds, rate, env)
    process.stdout.readline()
    time.sleep(seconds / 2)
    _, resident = memory_kib(process.pid)
    result = said(process)
    process.communicate("\n")
    return result | {"rss": resident}


def settled(server, key, tracepoint):
    _, body = server.call("GET", f"/v1/tracepoints/{tracepoint}", key=key)
    counters = body["agents"][0]["counters"] if body.get("agents") else None
    return counters if counters and counters["inFlight"] == 0 and counters["hits"] > 0 else None


def case(name, program, seconds):
    rate, spec = CASES[name]
    server = harness.Server()
    try:
        agent, editor = server.key("agent"), server.key("editor")
        status, body = server.call("POST", "/v1/services/load/tracepoints", spec, key=editor)
        assert status == 201, body
        baseline = plain(program, min(seconds, 5), rate)
        process = run_program(program, seconds, rate, server.agent_env(
            agent, "load", STILLFRAME_START_WAIT="30s", STILLFRAME_LIMITS=LIMITS))
        process.stdout.readline()
        samples = []
        begin = time.monotonic()
        while time.monotonic() - begin < seconds - 0.5:
            time.sleep(min(1.0, seconds / 10))
            samples.append((time.monotonic() - begin, *memory_kib(process.pid)))
        result = said(process)
        agent_cpu = cpu_seconds(process.pid, "stillframe")
        # What is under way arrives; then the sums are final.
        counters = harness.wait_for("the last acknowledgement",
                                    lambda: settled(server, editor, body["id"]), 60)
        time.sleep(1.5)
        counters = settled(server, editor, body["id"]) or counters
        process.communicate("\n")
        report(name, rate, baseline, result, counters, samples, agent_cpu)
        return check(name, result, counters)
    finally:
        server.stop()


def check(name, result, counters):
    """Both identities, and every run of the line is a hit."""
    dropped = sum(counters["dropped"].values())
    problems = []
    if counters["hits"] != sum(counters[part] for part in IDENTITY):
        problems.append("the first identity does not hold")
    if counters["captured"] != counters["acked"] + counters["inFlight"] + dropped:
        problems.append("the second identity does not hold")
    if counters["hits"] != result["runs"]:
        problems.append(f"{result['runs']:.0f} runs, but {counters['hits']} hits")
    for problem in problems:
        print(f"**{name}: {problem}**")
    return not problems


def report(name, rate, baseline, result, counters, samples, agent_cpu):
    seconds, runs = result["seconds"], result["runs"]
    added = result["busy"] / runs - baseline["busy"] / baseline["runs"]
    # What the process has in memory more than without the agent, code and all. Debug information is
    # given back ten seconds after it was last needed.
    steady = [sample for sample in samples if sample[0] > SETTLED_S] or samples[-1:]
    added_mib = [(sample[2] - baseline["rss"]) / 1024 for sample in steady]
    peak = (max(sample[2] for sample in samples) - baseline["rss"]) / 1024
    third = max(len(added_mib) // 3, 1)
    print(f"\n## {name}: {rate:,} a second wanted, {runs / seconds:,.0f} a second for {seconds:.0f} s\n")
    print(f"- hitting thread: {added * 1e9:.0f} ns a hit, {added * runs / seconds * 100:.2f} % of a "
          f"core; agent's thread: {agent_cpu / seconds * 100:.1f} % of a core")
    losses = {part: counters[part] for part in IDENTITY[:-1] if counters[part]}
    print(f"- hits {counters['hits']:,}; captured {counters['captured']:,}; acked "
          f"{counters['acked']:,}; in flight {counters['inFlight']:,}; declined {losses or 'none'}; "
          f"dropped {counters['dropped'] or 'none'}")
    print(f"- the agent's memory (resident): {sum(added_mib[:third]) / third:.1f} MiB in the first third "
          f"after the {SETTLED_S}th second, {sum(added_mib[-third:]) / third:.1f} MiB in the last, at most "
          f"{max(added_mib):.1f}; at most {peak:.1f} while debug information was read")
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("cases", nargs="*", choices=[[], *CASES], default=[])
    options = parser.parse_args()
    seconds = options.minutes * 60 if options.minutes else options.seconds
    program = harness.compile_target("load.cc")
    try:
        good = [case(name, program, seconds) for name in options.cases or CASES]
    finally:
        harness.cleanup_targets()
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
