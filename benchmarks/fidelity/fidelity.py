#!/usr/bin/env python3
"""Variables and frames in snapshots against GDB at exactly the same pc and hit.

Real C++ programs (the Debian sources of the coverage benchmark, with small deterministic drivers)
and the project's own tricky cases, by every installed compiler and level. Statement addresses are
drawn at random, a tracepoint is set on each, the program runs; then it runs under GDB, which stops
at the same addresses, and every variable of every frame is compared. What differs is asked of GDB
twice more with other addresses and memory contents: a value that differs between GDB's own runs is
not initialized.

  benchmarks/fidelity/fidelity.py --build build/release [--work DIR] [--addresses N] [--json FILE]
                                  [--compilers=A,B] [--levels=-O2,…] [PROGRAM…]
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
    """A program: how it is built and run."""

    def __init__(self, name, root, sources, flags, args=(), files=None):
        self.name, self.root, self.sources = name, root, sources
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
    for name in ("values.cc", "algorithms.cc"):
        yield Subject(name.removesuffix(".cc"), str(folder), [name], ["-std=gnu++20"])


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
    """Of the program's own files; {address: line}."""
    files = run([stillframe, "--output", "json", "doctor", "--files", binary]).stdout
    found = {}
    for path in json.loads(files)["files"]:
        if not (path.startswith(subject.root + "/") or path.startswith(str(HERE))):
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


def snapshots_at(agent, binary, subject, addresses, environment=()):
    """{address: snapshot of its first hit}."""
    found = {}
    for first in range(0, len(addresses), AT_ONCE):
        chosen = addresses[first:first + AT_ONCE]
        with tempfile.TemporaryDirectory() as folder:
            for name, text in subject.files.items():
                pathlib.Path(folder, name).write_text(text, encoding="utf-8")
            wanted = os.path.join(folder, "tracepoints.json")
            output = os.path.join(folder, "snapshots.jsonl")
            with open(wanted, "w", encoding="utf-8") as file:
                json.dump({"tracepoints": [
                    {"id": address, "location": {"address": address},
                     "capture": {"depth": 3, "frames": 16}} for address in chosen]}, file)
            env = dict(os.environ, **dict(pair.split("=", 1) for pair in environment),
                       LD_PRELOAD=agent, STILLFRAME_TRACEPOINTS=wanted,
                       STILLFRAME_OUTPUT=output, STILLFRAME_START_WAIT="120s",
                       STILLFRAME_LOG="info",
                       STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=0")
            done = subprocess.run([binary, *subject.args], env=env, cwd=folder, text=True,
                                  capture_output=True, timeout=300, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{binary} ended with {done.returncode}: {done.stderr[-2000:]}")
            sound = set(captured_once(done.stderr))
            if os.path.exists(output):
                with open(output, encoding="utf-8") as file:
                    for line in file:
                        snapshot = json.loads(line)
                        if snapshot["tracepointId"] in sound:
                            found[snapshot["tracepointId"]] = snapshot
    return found


def heap_shift(folder, size):
    """A library that moves the program's heap: the low bytes of a pointer differ, and with them what
    a union shows of it in other members."""
    library = os.path.join(folder, f"shift{size}.so")
    if not os.path.exists(library):
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], check=True, text=True,
                       input="#include <stdlib.h>\nvoid* kept;\n__attribute__((constructor)) "
                             f"static void shift(void) {{ kept = malloc({size}); }}\n")
    return library


# Other runs of GDB: what differs between them was never initialized, or is part of an address.
def other_runs(options, folder):
    """The second with an agent that has nothing to do, beside the moved heap."""
    nothing = os.path.join(folder, "nothing.json")
    with open(nothing, "w", encoding="utf-8") as file:
        file.write('{"tracepoints": []}')
    return (["MALLOC_PERTURB_=85", "LD_BIND_NOW=1", "SF_PADDING=" + 1234 * "x",
             f"LD_PRELOAD={heap_shift(folder, 104)}"],
            ["GLIBC_TUNABLES=glibc.malloc.tcache_count=0", "MALLOC_PERTURB_=170",
             f"LD_PRELOAD={options.build}/lib/libstillframe.so:{heap_shift(folder, 168)}",
             f"STILLFRAME_OUTPUT={folder}/none",
             f"STILLFRAME_TRACEPOINTS={nothing}"])


OTHER_RUN_OF_OURS = ("MALLOC_PERTURB_=93", "LD_BIND_NOW=1", "SF_PADDING=" + 777 * "x")


def without_addresses(text):
    return re.sub(r"0x[0-9a-f]{9,}.*", "0x", text)


def gdb_at(binary, subject, addresses, environment=(), follows="1"):
    with tempfile.TemporaryDirectory() as folder:
        for name, text in subject.files.items():
            pathlib.Path(folder, name).write_text(text, encoding="utf-8")
        out = os.path.join(folder, "gdb.json")
        env = dict(os.environ, SF_PCS=",".join(addresses), SF_OUT=out,
                   SF_ARGS=" ".join(subject.args), SF_RANDOMIZE="on" if environment else "",
                   SF_ENVIRONMENT=json.dumps(environment), SF_SCRIBBLE="1" if environment else "",
                   SF_SYNTHETIC=follows)
        done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-x",
                               str(HERE / "gdb_frames.py"), binary],
                              env=env, cwd=folder, capture_output=True, text=True, timeout=1200,
                              check=False)
        if not os.path.exists(out) and follows:  # GDB 13 fell over what a synthetic pointer leads to
            return gdb_at(binary, subject, addresses, environment, "")
        if not os.path.exists(out):
            raise RuntimeError(done.stderr[-3000:])
        with open(out, encoding="utf-8") as file:
            return json.load(file)


def compare_all(snapshots, oracle, lines):
    result = compare.Comparison()
    for address, snapshot in snapshots.items():
        if address in oracle:
            result.counts["addresses"] += 1
            result.snapshot(f"{address} {lines.get(address, '')}", snapshot["frames"],
                            oracle[address])
    return result


def examine(options, subject, compiler, level):
    binary = build(options.work, subject, compiler, level)
    lines = statement_addresses(str(options.build / "bin/stillframe"), binary, subject)
    addresses = sorted(lines)
    random.Random(f"{subject.name} {compiler} {level} {options.seed}").shuffle(addresses)
    addresses = addresses[:options.addresses]
    snapshots = snapshots_at(str(options.build / "lib/libstillframe.so"), binary, subject,
                             addresses)
    if not snapshots:
        return compare.Comparison()
    result = compare_all(snapshots, gdb_at(binary, subject, list(snapshots)), lines)
    for environment in other_runs(options, os.path.dirname(binary)):
        if not result.wrong and not result.lost:
            break
        again = compare_all(snapshots, gdb_at(binary, subject, list(snapshots), environment), lines)
        told = {where: gdb for where, _, gdb in again.wrong + again.lost}
        result.wrong = [w for w in result.wrong if told.get(w[0]) == w[2]]
        result.lost = [w for w in result.lost if compare.without_pointers(told.get(w[0])) ==
                       compare.without_pointers(w[2])]
    if result.wrong:
        # A value that differs between two runs of ours is not initialized either.
        again = compare_all(snapshots_at(str(options.build / "lib/libstillframe.so"), binary,
                                         subject, addresses, OTHER_RUN_OF_OURS),
                            gdb_at(binary, subject, list(snapshots)), lines)
        told = {where: ours for where, ours, _ in again.wrong}
        result.wrong = [w for w in result.wrong
                        if without_addresses(told.get(w[0], "")) == without_addresses(w[1])]
    result.counts["wrong"], result.counts["lost"] = len(result.wrong), len(result.lost)
    return result


def percent(part, whole, digits=2):
    return f"{100.0 * part / whole:.{digits}f}" if whole else "-"


def row(name, c):
    pairs = c["pairs 0"] + c["pairs up"]
    return (f"| {name} | {c['addresses']} | {c['pairs 0']} | {percent(c['gdb 0'], c['pairs 0'])} | "
            f"{percent(c['ours 0'], c['pairs 0'])} | {percent(c['gdb up'], c['pairs up'])} | "
            f"{percent(c['ours up'], c['pairs up'])} | {c['lost']} | "
            f"{percent(c['lost'], pairs, 3)} | {c['guessed']} | {c['gained']} | {c['values']} | {c['wrong']} | "
            f"{c['unexplained']} | {percent(c['frames'] - c['frames differ'], c['frames'])} | "
            f"{c['ended gdb']} | {c['ended']} |")


HEADER = ("| program, compiler, level | addresses | pairs at frame 0 | GDB % | ours % | "
          "callers: GDB % | ours % | lost | lost % | guessed by GDB | gained | values compared | wrong | "
          "without reason | frames agreeing % | tail calls: GDB | ours |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | "
          "---: | ---: | ---: | ---: | ---: |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--work", default=os.environ.get("STILLFRAME_COVERAGE_DIR",
                                                         "build/coverage"))
    parser.add_argument("--addresses", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="where every difference goes")
    split = lambda text: text.split(",")
    parser.add_argument("--compilers", type=split, default=list(coverage.COMPILERS))
    parser.add_argument("--levels", type=split, default=list(LEVELS), help="as --levels=-O0,-O2")
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()
    options.work, options.build = os.path.abspath(options.work), options.build.resolve()
    subjects = [s for s in [*own_programs(), *real_programs(options.work)]
                if not options.programs or s.name in options.programs]
    compilers = [c for c in options.compilers if shutil.which(coverage.COMPILERS[c])]
    total = collections.Counter()
    details = {}
    print(HEADER, flush=True)
    for subject in subjects:
        for compiler in compilers:
            for level in options.levels:
                name = f"{subject.name}, {compiler}, {level}"
                result = examine(options, subject, compiler, level)
                print(row(name, result.counts), flush=True)
                total.update(result.counts)
                details[name] = {"wrong": result.wrong, "lost": result.lost,
                                 "frames": result.frames_differ,
                                 "gained": result.gained[:compare.MAX_EXAMPLES]}
                if options.json:
                    with open(options.json, "w", encoding="utf-8") as file:
                        json.dump(details, file, indent=1)
    print(row("**all**", total))
    lost = total["lost"] / max(1, total["pairs 0"] + total["pairs up"])
    wrong = total["wrong"] / max(1, total["values"])
    return 1 if lost > 0.001 or wrong > 0.0001 else 0


if __name__ == "__main__":
    sys.exit(main())
