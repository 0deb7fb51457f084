"""What the agent costs the smallest program: time before main() on the main thread, and memory of
the idle agent. The same program in four forms, in turns; medians of many runs.

  footprint_bench.py [startup] [memory]      (both by default)
Environment: STILLFRAME_BUILD, STILLFRAME_BENCH_RUNS (startup runs a form, 200).
Ends with 1 when a target is missed: start-up <= 1 ms, resident memory <= 6 MB (over the program
without the agent). The server is a loopback port where nothing listens."""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))
import harness  # noqa: E402

RUNS = int(os.environ.get("STILLFRAME_BENCH_RUNS", "200"))
STARTUP_TARGET_US = 1000
MEMORY_TARGET_KIB = 6 * 1000 * 1000 / 1024

# CPU time of the main thread since exec (loader, constructors) and the wall clock, at main().
PROGRAM = r"""
#include <stdio.h>
#include <time.h>
#include <unistd.h>
static long long nanos(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}
int main(void) {
  const long long cpu = nanos(CLOCK_THREAD_CPUTIME_ID), wall = nanos(CLOCK_MONOTONIC);
  printf("%lld %lld\n", cpu, wall);
  fflush(stdout);
  char byte;
  if (read(0, &byte, 1) < 0) return 1;  /* until the bench has looked */
  _exit(0);
}
"""


def from_disk(path):
    """What was just written lies in the page cache in large pieces, which are mapped whole at the
    first touch: a deployed program's file was read, not written."""
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)


class Forms:
    """The program: alone, preloaded and off, preloaded and on, linked with the archive and on."""

    def __init__(self, folder):
        source = folder / "program.c"
        source.write_text(PROGRAM)
        compiler = os.environ.get("CC", "cc")
        alone, linked = folder / "alone", folder / "linked"
        subprocess.run([compiler, "-O2", str(source), "-o", str(alone)], check=True)
        subprocess.run([compiler, "-O2", str(source), "-o", str(linked), "-pthread",
                        "-Wl,--undefined=stillframe_version",
                        str(harness.BUILD / "lib" / "libstillframe.a"), "-lm", "-ldl",
                        "-Wl,-z,pack-relative-relocs"], check=True)
        for path in (alone, linked, harness.AGENT):
            from_disk(path)
        plain = {k: v for k, v in os.environ.items() if not k.startswith("STILLFRAME_")}
        on = {"STILLFRAME_SERVER": f"http://127.0.0.1:{harness.free_port()}",
              "STILLFRAME_LOG": "off"}
        preload = {"LD_PRELOAD": str(harness.AGENT)}
        self.forms = {"without": (alone, plain),
                      "shared, off": (alone, plain | preload),
                      "shared, on": (alone, plain | preload | on),
                      "archive, off": (linked, plain),
                      "archive, on": (linked, plain | on)}

    def start(self, name):
        program, env = self.forms[name]
        began = time.monotonic_ns()
        process = subprocess.Popen([str(program)], env=env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        cpu, wall = map(int, process.stdout.readline().split())
        return process, cpu / 1000, (wall - began) / 1000


def end(process):
    process.communicate("x", timeout=30)


def startup(forms):
    cpu = {name: [] for name in forms.forms}
    wall = {name: [] for name in forms.forms}
    for _ in range(RUNS):
        for name in forms.forms:  # in turns, so that the machine's moods are shared
            process, cpu_us, wall_us = forms.start(name)
            end(process)
            cpu[name].append(cpu_us)
            wall[name].append(wall_us)
    missed = False
    for name in forms.forms:
        # Paired: each run against the run without the agent of the same turn.
        over = statistics.median(a - b for a, b in zip(cpu[name], cpu["without"]))
        print(f"start to main(), {name}: {statistics.median(cpu[name]):.0f} us of main-thread CPU "
              f"({over:+.0f}), wall {statistics.median(wall[name]):.0f} us "
              f"(least {min(wall[name]):.0f})")
        missed |= over > STARTUP_TARGET_US
    return missed


def rollup(process):
    text = pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    values = {key: int(value) for key, value in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    values["Private"] = values["Private_Clean"] + values["Private_Dirty"]
    return values


def settled(process):
    """The process's memory once it has stopped growing for a second."""
    seen = []

    def same():
        seen.append(rollup(process))
        time.sleep(0.1)
        return len(seen) > 20 and len({v["Rss"] for v in seen[-10:]}) == 1
    harness.wait_for("memory to settle", same, seconds=30)
    return seen[-1]


def memory(forms):
    found = {}
    for name in forms.forms:
        process, _, _ = forms.start(name)
        found[name] = settled(process)
        end(process)
    missed = False
    for name, values in found.items():
        over = {key: values[key] - found["without"][key] for key in ("Rss", "Pss", "Private")}
        print(f"memory, {name}: " + ", ".join(
            f"{key} {values[key]} KiB ({over[key]:+d})" for key in over))
        missed |= over["Rss"] > MEMORY_TARGET_KIB
    return missed


def main():
    wanted = sys.argv[1:] or ["startup", "memory"]
    missed = False
    with tempfile.TemporaryDirectory() as folder:
        forms = Forms(pathlib.Path(folder))
        for name in wanted:
            missed |= {"startup": startup, "memory": memory}[name](forms)
    if missed:
        print("a target is missed", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
