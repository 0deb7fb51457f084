#!/usr/bin/env python3
"""Variables and frames in snapshots against GDB at exactly the same pc and hit.

Real C++ programs (the Debian sources of the coverage benchmark, with small deterministic drivers)
and the project's own tricky cases, by every installed compiler and level. Statement addresses are
drawn at random, a tracepoint is set on each, the program runs; then it runs under GDB, which stops
at the same addresses, and every variable of every frame is compared.

GDB runs twice more, with complementary patterns in all memory that holds nothing (gdb_pattern.py): a
value that differs between GDB's own runs is not determined by the program; it is counted apart,
whatever ours is, and listed with --undetermined. What still differs is asked of GDB once more with
other addresses, on which a union may depend. The project's own programs also print their values
(truth.py): with these, snapshots of every execution are compared.

  benchmarks/fidelity/fidelity.py --build build/release [--work DIR] [--addresses N] [--json FILE]
                                  [--compilers=A,B] [--levels=-O2,…] [--undetermined] [PROGRAM…]
  benchmarks/fidelity/fidelity.py --build build/release --print FILE [--print FILE…] [--undetermined]
"""
import argparse
import collections
import glob
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
sys.path.insert(0, str(HERE.parent))
import compare  # noqa: E402
import coverage  # noqa: E402
import oracle  # noqa: E402
import truth  # noqa: E402

LEVELS = ("-O0", "-O1", "-O2", "-O3", "-Os")
# Fewer at once than the ring has slots: none is lost although the program runs only milliseconds.
AT_ONCE = 24
NINJA_FILE = """rule cc
  command = cc -c $in -o $out
  depfile = $out.d
build all: phony a.o b.o lib
build a.o: cc a.c | gen.h
build b.o: cc b.c || a.o
build lib: cc a.o b.o
build gen.h: cc gen.in
default all
"""


class Subject:
    """A program: how it is built and run, and whether it prints what its variables hold."""

    def __init__(self, name, root, sources, flags, args=(), files=None, tells=False):
        self.name, self.root, self.sources, self.tells = name, root, sources, tells
        self.flags, self.args, self.files = flags, list(args), files or {}


def real_programs(work):
    coverage.fetch(work, coverage.PROGRAMS)
    for program in coverage.PROGRAMS:
        root = coverage.folder(work, program)
        coverage.generate(root, program)
        sources = sorted({s for pattern in program.sources
                          for s in glob.glob(pattern, root_dir=root)})
        sources = [s for s in sources if not any(word in s for word in program.exclude)]
        driver = HERE / "drivers" / f"{program.name}_driver.cc"
        if driver.exists():
            yield Subject(program.name, root, [*sources, str(driver)], ["-std=gnu++17", *program.flags])
        else:
            yield Subject(program.name, root, [*sources, "src/getopt.c", program.main],
                          ["-std=gnu++17", *program.flags], ["-n", "-v"],
                          {"build.ninja": NINJA_FILE, "a.c": "", "b.c": "", "gen.in": ""})


def own_programs():
    folder = SOURCE / "tests" / "targets" / "e2e"
    for name in ("values.cc", "algorithms.cc", "code_shapes.cc", "language_shapes.cc"):
        yield Subject(name.removesuffix(".cc"), str(folder), [name], ["-std=gnu++20"], tells=True)


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stderr[-3000:]}")
    return done


def build(work, subject, compiler, level):
    out = os.path.join(work, "fidelity", subject.name, compiler.replace(" ", ""), level)
    binary = os.path.join(out, subject.name)
    if os.path.exists(binary):
        return binary
    os.makedirs(out, exist_ok=True)
    ccache = [shutil.which("ccache")] if shutil.which("ccache") else []
    objects = []
    for source in subject.sources:
        target = os.path.join(out, os.path.basename(source) + ".o")
        language = ["-x", "c++"] if source.endswith(".c") else []
        run([*ccache, coverage.COMPILERS[compiler], level, "-g", "-w", *subject.flags, "-I.", *language, "-c", source, "-o", target], cwd=subject.root)
        objects.append(target)
    flush = os.path.join(out, "flush_at_exit.o")
    run([coverage.COMPILERS[compiler], "-std=gnu++20", "-O1", f"-I{SOURCE}/include", "-c",
         str(SOURCE / "tests/targets/e2e/flush_at_exit.cc"), "-o", flush])
    run([coverage.COMPILERS[compiler], *objects, flush, "-pthread", "-o", binary])
    return binary


def statement_addresses(stillframe, binary, subject):
    """Of the program's own files, without what it tells with; {address: line}."""
    files = run([stillframe, "--output", "json", "doctor", "--files", binary]).stdout
    found = {}
    for path in json.loads(files)["files"]:
        if not path.startswith((subject.root + "/", str(HERE))) or path.endswith("/truth.h"):
            continue
        done = subprocess.run([stillframe, "--output", "json", "lines", binary, path],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            continue  # a header without code of its own
        for entry in json.loads(done.stdout)["lines"]:
            for address in entry["addresses"]:
                found[address] = f"{os.path.basename(entry['file'])}:{entry['line']}"
    return found


def captured_once(stderr):
    """Ids of tracepoints whose first hit is the one that was captured."""
    for id_, counters in re.findall(r"tracepoint (\S+): final (\{.*\})", stderr):
        sums = json.loads(counters)["counters"]
        lost = ("conditionError", "reentrant", "ringFull", "unsafeContext", "budgetStopped")
        if sums["captured"] == 1 and not any(sums[name] for name in lost):
            yield id_


def run_probed(agent, binary, subject, tracepoints, environment=()):
    """(the finished program, snapshots in order)."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in subject.files.items():
            pathlib.Path(folder, name).write_text(text, encoding="utf-8")
        wanted = os.path.join(folder, "tracepoints.json")
        output = os.path.join(folder, "snapshots.jsonl")
        with open(wanted, "w", encoding="utf-8") as file:
            json.dump({"tracepoints": tracepoints}, file)
        env = dict(os.environ, **dict(pair.split("=", 1) for pair in environment),
                   LD_PRELOAD=agent, STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output,
                   STILLFRAME_START_WAIT="120s", STILLFRAME_LOG="info",
                   STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=0")
        done = subprocess.run([binary, *subject.args], env=env, cwd=folder, text=True,
                              capture_output=True, timeout=300, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{binary} ended with {done.returncode}: {done.stderr[-2000:]}")
        if not os.path.exists(output):
            return done, []
        with open(output, encoding="utf-8") as file:
            return done, [json.loads(line) for line in file]


def snapshots_at(agent, binary, subject, addresses):
    """{address: snapshot of its first hit}."""
    found = {}
    for first in range(0, len(addresses), AT_ONCE):
        done, snapshots = run_probed(agent, binary, subject, [
            {"id": address, "location": {"address": address}, "capture": {"depth": 3, "frames": 16}}
            for address in addresses[first:first + AT_ONCE]])
        sound = set(captured_once(done.stderr))
        found.update({snapshot["tracepointId"]: snapshot for snapshot in snapshots
                      if snapshot["tracepointId"] in sound})
    return found


def compare_with_truth(agent, binary, subject):
    """What the program prints of its variables against snapshots of every execution."""
    result = truth.Truth()
    source = pathlib.Path(subject.root, subject.sources[0])
    told = truth.told_by(subprocess.run([binary], capture_output=True, text=True, check=True).stdout)
    if told:
        lines = {telling["line"] for telling in told}
        done, snapshots = run_probed(agent, binary, subject, truth.tracepoints(
            source, source.parent / "truth.h", lines))
        result.run(done.stdout, snapshots)
        result.ask_gdb(oracle.Gdb(binary))
    return result


def compare_all(snapshots, oracle, lines):
    result = compare.Comparison()
    for address, snapshot in snapshots.items():
        if address in oracle:
            result.counts["addresses"] += 1
            result.snapshot(f"{address} {lines.get(address, '')}", snapshot["frames"],
                            oracle[address])
    return result


def examine(options, subject, compiler, level):
    """Counts and differences, of both comparisons."""
    binary = build(options.work, subject, compiler, level)
    agent = str(options.build / "lib/libstillframe.so")
    told = compare_with_truth(agent, binary, subject) if subject.tells else truth.Truth()
    lines = statement_addresses(str(options.build / "bin/stillframe"), binary, subject)
    addresses = sorted(lines)
    random.Random(f"{subject.name} {compiler} {level} {options.seed}").shuffle(addresses)
    snapshots = snapshots_at(agent, binary, subject, addresses[:options.addresses])
    if not snapshots:
        return report(compare.Comparison(), told)
    gdb = oracle.Gdb(binary, subject.args, subject.files)
    shown = gdb.shows_marked(list(snapshots))
    result = compare_all(snapshots, shown, lines)
    if result.wrong or result.lost:
        gdb.mark_by_other_places(shown)
        result = compare_all(snapshots, shown, lines)
    result.counts.update({"wrong": len(result.wrong), "lost": len(result.lost),
                          "undetermined": len(result.undetermined), "GDB fell": len(gdb.fell_at)})
    return report(result, told)


def report(result, told):
    return {"counts": result.counts + told.counts, "wrong": result.wrong, "lost": result.lost,
            "frames": result.frames_differ, "gained": result.gained[:compare.MAX_EXAMPLES],
            "undetermined": result.undetermined, "wrong against truth": told.wrong,
            "not shown": told.absent, "hits differ": told.hits_differ}


def percent(part, whole, digits=2):
    return f"{100.0 * part / whole:.{digits}f}" if whole else "-"


COLUMNS = ("addresses", "pairs at frame 0", "GDB %", "ours %", "callers: GDB %", "ours %", "lost",
           "lost %", "guessed by GDB", "gained", "values compared", "wrong", "undetermined",
           "without reason", "frames agreeing %", "tail calls: GDB", "ours", "against truth", "wrong",
           "of these as in GDB", "hits of executions")


def row(name, c):
    """`c` has the counts of both comparisons."""
    pairs = c["pairs 0"] + c["pairs up"]
    cells = [c["addresses"], c["pairs 0"], percent(c["gdb 0"], c["pairs 0"]),
             percent(c["ours 0"], c["pairs 0"]), percent(c["gdb up"], c["pairs up"]),
             percent(c["ours up"], c["pairs up"]), c["lost"], percent(c["lost"], pairs, 3),
             c["guessed"], c["gained"], c["values"], c["wrong"], c["undetermined"],
             c["unexplained"], percent(c["frames"] - c["frames differ"], c["frames"]),
             c["ended gdb"], c["ended"]]
    cells += ([c["truths"], c["wrong against truth"], c["as GDB"], f"{c['hits']} of {c['executions']}"]
              if c["told"] else ["-"] * 4)
    return "| " + " | ".join(map(str, [name, *cells])) + " |"


HEADER = ("| program, compiler, level | " + " | ".join(COLUMNS) + " |\n"
          "| --- |" + " ---: |" * len(COLUMNS))


def reached(total):
    """Whether the targets are."""
    lost = total["lost"] / max(1, total["pairs 0"] + total["pairs up"])
    wrong = total["wrong"] / max(1, total["values"])
    return (lost <= 0.001 and wrong <= 0.0001 and total["unexplained"] == 0 and
            total["wrong against truth"] == total["as GDB"])


def total_of(details, level=""):
    return sum((collections.Counter(found["counts"]) for name, found in details.items()
                if name.endswith(level)), collections.Counter())


def list_undetermined(details):
    print()
    for name, found in details.items():
        for where, ours, gdb in found["undetermined"]:
            print(f"- {name}: {where}: {gdb.get('undetermined', 'in all parts')}; ours {ours}")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", default=os.environ.get("STILLFRAME_COVERAGE_DIR",
                                                         "build/coverage"))
    parser.add_argument("--addresses", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="where every difference goes")
    parser.add_argument("--print", action="append", metavar="FILE",
                        help="the table of what --json wrote earlier, nothing is run")
    parser.add_argument("--undetermined", action="store_true",
                        help="list the values in which GDB's own runs differ")
    split = lambda text: text.split(",")
    parser.add_argument("--compilers", type=split, default=list(coverage.COMPILERS))
    parser.add_argument("--levels", type=split, default=list(LEVELS), help="as --levels=-O0,-O2")
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()
    options.print = options.print or []
    options.work, options.build = os.path.abspath(options.work), options.build.resolve()
    subjects = {s.name: s for s in [*own_programs(), *real_programs(options.work)]}
    chosen = [subjects[name] for name in options.programs or subjects]
    compilers = [c for c in options.compilers if shutil.which(coverage.COMPILERS[c])]
    details = {}
    print(HEADER, flush=True)
    for path in options.print:
        with open(path, encoding="utf-8") as file:
            details.update(json.load(file))
    order = [f"{name}, {compiler}, {level}" for name in subjects for compiler in coverage.COMPILERS
             for level in LEVELS]
    for name in sorted(details, key=order.index):
        print(row(name, collections.Counter(details[name]["counts"])))
    for subject in chosen if not options.print else ():
        for compiler in compilers:
            for level in options.levels:
                name = f"{subject.name}, {compiler}, {level}"
                details[name] = found = examine(options, subject, compiler, level)
                print(row(name, found["counts"]), flush=True)
                if options.json:
                    with open(options.json, "w", encoding="utf-8") as file:
                        json.dump(details, file, indent=1)
    for level in LEVELS:
        if any(name.endswith(level) for name in details):
            print(row(f"**all, {level}**", total_of(details, level)))
    total = total_of(details)
    print(row("**all**", total))
    if total["GDB fell"]:
        print(f"\nAt {total['GDB fell']} further addresses GDB itself ended with an internal error.")
    if options.undetermined:
        list_undetermined(details)
    return 0 if reached(total) else 1


if __name__ == "__main__":
    sys.exit(main())
