"""Arming one line of a program with more than 500 MB of debug information: time and memory of the
agent, beside GDB's for `break FILE:LINE` of the same file in the same run.

  large_bench.py FOLDER         FOLDER holds (or gets) the program; about 5 GB while it is made
Environment: STILLFRAME_BUILD, STILLFRAME_BENCH_RUNS (3; GDB runs once). Fails when a target is missed.

Times of the agent are differences from exec to main: the start is held until the tracepoint is armed
(STILLFRAME_START_WAIT), and the reference is a run with an empty set. Processor time beside wall time,
because other work may run on the machine. Memory is the process's own account of itself, less that of
a run without the agent: resident at its peak, and fifteen seconds after the first snapshot, when what
is kept open for the next tracepoint (ten seconds) has been given back. Cold: the program's pages are
dropped from the page cache before each run."""
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import generate  # noqa: E402

BUILD = pathlib.Path(os.environ["STILLFRAME_BUILD"])
AGENT = BUILD / "lib" / "libstillframe.so"
RUNS = int(os.environ.get("STILLFRAME_BENCH_RUNS", "3"))
MARK = "bench: tracepoint here"
MIN_DEBUG_INFO = 500_000_000
SETTLED_SECONDS = 15
TARGETS = {"warm": 0.3, "cold": 1.0, "peak": 100_000, "kept": 20_000}  # seconds, kilobytes


def line_of_mark():
    lines = (HERE / "service.cc").read_text().splitlines()
    return next(number for number, text in enumerate(lines, 1) if MARK in text)


def debug_info_bytes(program):
    text = subprocess.run(["readelf", "-SW", str(program)], capture_output=True, text=True,
                          check=True).stdout
    return int(re.search(r"\.debug_info\s+PROGBITS\s+\S+\s+\S+\s+([0-9a-f]+)", text).group(1), 16)


def drop(program):
    """Its pages leave the page cache, as far as the kernel agrees."""
    fd = os.open(program, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def warm_up(program):
    subprocess.run(["cat", str(program)], stdout=subprocess.DEVNULL, check=True)


def processor_seconds(pid):
    """Of all its threads until now."""
    tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def run_program(program, env, settle=0):
    """Seconds and processor seconds to main; memory after one order and `settle` seconds."""
    began = time.monotonic()
    process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, env={**os.environ, **env})
    first = process.stdout.readline()
    seconds = time.monotonic() - began
    processor = processor_seconds(process.pid)
    assert first.startswith("main "), first
    process.stdin.write("o\n")
    process.stdin.flush()
    time.sleep(settle)
    out, errors = process.communicate("m\n", timeout=60)
    memory = re.findall(r"peak (\d+) resident (\d+) anonymous (\d+)", out)[-1]
    return seconds, processor, [int(value) for value in memory], errors


def run_agent(program, tracepoints):
    with tempfile.TemporaryDirectory() as folder:
        wanted, output = pathlib.Path(folder) / "wanted.json", pathlib.Path(folder) / "out"
        wanted.write_text(json.dumps({"tracepoints": tracepoints}))
        seconds, processor, memory, errors = run_program(program, {
            "LD_PRELOAD": str(AGENT), "STILLFRAME_TRACEPOINTS": str(wanted),
            "STILLFRAME_OUTPUT": str(output), "STILLFRAME_START_WAIT": "60s"},
            SETTLED_SECONDS if tracepoints else 0)
        snapshots = output.read_text().splitlines() if output.exists() else []
        assert len(snapshots) == len(tracepoints), errors
        if snapshots:
            names = [value["name"] for value in json.loads(snapshots[0])["frames"][0]["variables"]]
            assert "order" in names, names
        return seconds, processor, memory


def run_gdb(program, line):
    """Seconds and peak kilobytes of GDB for the same line."""
    began = time.monotonic()
    process = subprocess.Popen(
        ["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-ex",
         f"break service.cc:{line}", str(program)], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    out = process.stdout.read()
    _, _, usage = os.wait4(process.pid, 0)
    assert "Breakpoint 1 at" in out, out
    return time.monotonic() - began, usage.ru_maxrss


def measure(program, line, cold):
    """Medians: seconds and processor seconds to arm, peak and kept kilobytes; GDB's seconds and
    kilobytes."""
    tracepoint = {"location": {"file": "service.cc", "line": line}}
    prepare = drop if cold else warm_up
    rows = []
    for _ in range(RUNS):
        prepare(program)
        _, _, plain, _ = run_program(program, {})
        prepare(program)
        idle_seconds, idle_processor, _ = run_agent(program, [])
        prepare(program)
        seconds, processor, memory = run_agent(program, [tracepoint])
        rows.append((seconds - idle_seconds, processor - idle_processor, memory[0] - plain[0],
                     memory[1] - plain[1]))
    prepare(program)
    return [statistics.median(column) for column in zip(*rows)], run_gdb(program, line)


def main():
    folder = pathlib.Path(sys.argv[1])
    program = folder / "large"
    if not program.exists():
        generate.generate(folder, 1020)
    size = debug_info_bytes(program)
    print(f"{size / 1e6:.0f} MB of .debug_info in a file of {program.stat().st_size / 1e6:.0f} MB; "
          f"medians of {RUNS} runs.\n")
    print("| page cache | armed after, s | target | of which processor, s | peak, MB | target | "
          "kept, MB | target | GDB, s | GDB peak, MB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    missed = size < MIN_DEBUG_INFO
    for name in ("warm", "cold"):
        (armed, processor, peak, kept), (gdb_seconds, gdb_peak) = measure(program, line_of_mark(),
                                                                          name == "cold")
        missed |= armed > TARGETS[name] or peak > TARGETS["peak"] or kept > TARGETS["kept"]
        print(f"| {name} | {armed:.3f} | {TARGETS[name]} | {processor:.3f} | {peak / 1024:.1f} | "
              f"< 100 | {kept / 1024:.1f} | 20 | {gdb_seconds:.2f} | {gdb_peak / 1024:.0f} |",
              flush=True)
    if missed:
        print("\nA target is missed.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
