#!/usr/bin/env python3
"""Share of statement addresses that can be probed without a trap, over real C++ programs.

Fetches the sources of Debian packages, compiles each with every compiler that is installed as a
position-independent executable, a fixed-address executable and a shared object, asks
`stillframe doctor` about each file, and prints a Markdown table.

  benchmarks/coverage.py --stillframe build/release/bin/stillframe [--work DIR] [PROGRAM...]

Network: Debian's mirror, for the sources, once. Needs dpkg-dev and a compiler.
"""
import argparse
import collections
import glob
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

COMPILERS = {"GCC 12": "g++-12", "Clang 14": "clang++-14", "Clang 19": "clang++-19"}
SHAPES = {"PIE": (["-fPIE"], ["-pie"]),
          "fixed": (["-fno-pie"], ["-no-pie"]),
          "shared": (["-fPIC"], ["-shared"])}
TARGET = 98.5

SNAPPY_STUBS = {"snappy-stubs-public.h": ("snappy-stubs-public.h.in", {
    "${HAVE_SYS_UIO_H_01}": "1", "${PROJECT_VERSION_MAJOR}": "1",
    "${PROJECT_VERSION_MINOR}": "1", "${PROJECT_VERSION_PATCH}": "9"})}


class Program:
    def __init__(self, name, package, sources, exclude=(), main="", flags=(), generated=None):
        self.name, self.package, self.sources, self.exclude = name, package, sources, exclude
        self.main, self.flags, self.generated = main, list(flags), generated or {}


PROGRAMS = [
    Program("ninja", "ninja-build", ["src/*.cc"],
            ["test", "win32", "msvc", "perf", "hash_collision", "browse", "src/ninja.cc",
             "getopt", ".in.cc"], main="src/ninja.cc", flags=["-Dunix", "-DUSE_PPOLL=1"]),
    Program("leveldb", "leveldb", ["db/*.cc", "table/*.cc", "util/*.cc", "helpers/memenv/*.cc"],
            ["test", "windows", "leveldbutil", "benchmark"], main="db/leveldbutil.cc",
            flags=["-I.", "-Iinclude", "-DLEVELDB_PLATFORM_POSIX=1", "-DHAVE_FDATASYNC=1",
                   "-DHAVE_FULLFSYNC=0", "-DHAVE_O_CLOEXEC=1", "-DHAVE_CRC32C=0",
                   "-DHAVE_SNAPPY=0"],
            generated={"port/port_config.h": ("", {})}),
    Program("snappy", "snappy", ["snappy.cc", "snappy-c.cc", "snappy-sinksource.cc",
                                 "snappy-stubs-internal.cc"], flags=["-I."],
            generated=SNAPPY_STUBS),
    Program("jsoncpp", "libjsoncpp", ["src/lib_json/*.cpp"], main="src/jsontestrunner/main.cpp",
            flags=["-Iinclude"]),
    Program("tinyxml2", "tinyxml2", ["tinyxml2.cpp"], main="xmltest.cpp", flags=["-I."]),
]


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-3000:]}")
    return done.stdout


def fetch(work, programs):
    """Unpacks the sources below work/src; nothing of the machine's apt configuration changes."""
    lists = os.path.join(work, "apt", "lists")
    os.makedirs(os.path.join(lists, "partial"), exist_ok=True)
    sources = os.path.join(work, "src")
    os.makedirs(sources, exist_ok=True)
    missing = [p for p in programs if not folder(work, p)]
    if not missing:
        return
    release = run(["sh", "-c", ". /etc/os-release; echo $VERSION_CODENAME"]).strip()
    listing = os.path.join(work, "apt", "sources.list")
    with open(listing, "w", encoding="ascii") as file:
        file.write(f"deb-src http://deb.debian.org/debian {release} main\n")
    options = ["-o", f"Dir::Etc::sourcelist={listing}", "-o", "Dir::Etc::sourceparts=-",
               "-o", f"Dir::State::lists={lists}"]
    run(["apt-get", *options, "update", "-qq"])
    run(["apt-get", *options, "source", "-qq", *[p.package for p in missing]], cwd=sources)


def folder(work, program):
    found = [p for p in glob.glob(os.path.join(work, "src", program.package + "-*"))
             if os.path.isdir(p)]
    return found[0] if found else ""


def generate(root, program):
    """The few files that the package's own configuration step would write."""
    for target, (template, substitutions) in program.generated.items():
        text = ""
        if template:
            with open(os.path.join(root, template), encoding="utf-8") as file:
                text = file.read()
        for key, value in substitutions.items():
            text = text.replace(key, value)
        with open(os.path.join(root, target), "w", encoding="utf-8") as file:
            file.write(text)


def build(work, program, compiler, shape, pool):
    root = folder(work, program)
    out = os.path.join(work, "build", program.name, compiler, shape)
    binary = os.path.join(out, program.name + (".so" if shape == "shared" else ""))
    if os.path.exists(binary):
        return binary
    os.makedirs(out, exist_ok=True)
    compile_flags, link_flags = SHAPES[shape]
    sources = sorted({s for pattern in program.sources for s in glob.glob(pattern, root_dir=root)})
    sources = [s for s in sources if not any(word in s for word in program.exclude)]
    if shape != "shared":
        if program.main:
            sources.append(program.main)
        else:
            with open(os.path.join(root, "sf_main.cc"), "w", encoding="ascii") as file:
                file.write("int main() { return 0; }\n")
            sources.append("sf_main.cc")
    ccache = [shutil.which("ccache")] if shutil.which("ccache") else []

    def compile_one(source):
        target = os.path.join(out, source.replace("/", "_") + ".o")
        run([*ccache, COMPILERS[compiler], "-std=gnu++17", "-O2", "-g", "-DNDEBUG", "-w",
             *compile_flags, *program.flags, "-c", source, "-o", target], cwd=root)
        return target

    objects = list(pool.map(compile_one, sources))
    run([COMPILERS[compiler], *link_flags, *objects, "-pthread", "-o", binary], cwd=root)
    return binary


def doctor(stillframe, binary):
    done = subprocess.run([stillframe, "--output", "json", "doctor", binary],
                          stdout=subprocess.PIPE, text=True, check=False)
    return json.loads(done.stdout)["probes"]


def percent(part, whole):
    return f"{100.0 * part / whole:.2f}" if whole else "-"


def report(rows):
    methods = sorted({m for _, p in rows for m in p["methods"]})
    print("| program | compiler | form | addresses | probed % | " + " | ".join(methods) + " |")
    print("| --- | --- | --- | ---: | ---: |" + " ---: |" * len(methods))
    below = 0
    refusals = collections.Counter()
    total = 0
    for (program, compiler, shape), probes in rows:
        count = probes["statementAddresses"]
        share = percent(probes["probed"], count)
        below += float(share) < TARGET
        total += count
        refusals.update(probes["refusals"])
        shares = " | ".join(percent(probes["methods"].get(m, 0), count) for m in methods)
        print(f"| {program} | {compiler} | {shape} | {count} | {share} | {shares} |")
    print(f"\n{len(rows) - below} of {len(rows)} files reach {TARGET} %. "
          f"Not probed, of all {total} addresses:\n")
    print("| % | reason |\n| ---: | --- |")
    for reason, count in refusals.most_common(12):
        print(f"| {100.0 * count / total:.3f} | {reason} |")
    return below


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--stillframe", required=True)
    parser.add_argument("--work", default=os.environ.get("STILLFRAME_COVERAGE_DIR",
                                                         "build/coverage"))
    parser.add_argument("--own", nargs="*", default=[], help="binaries that exist already")
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()
    work = os.path.abspath(options.work)
    programs = [p for p in PROGRAMS if not options.programs or p.name in options.programs]
    fetch(work, programs)
    compilers = [c for c in COMPILERS if shutil.which(COMPILERS[c])]
    for name in set(COMPILERS) - set(compilers):
        print(f"{name} is not installed: skipped.\n")
    rows = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for program in programs:
            generate(folder(work, program), program)
            for compiler in compilers:
                for shape in SHAPES:
                    binary = build(work, program, compiler, shape, pool)
                    rows.append(((program.name, compiler, shape),
                                 doctor(options.stillframe, binary)))
    for binary in options.own:
        if os.path.exists(binary):
            rows.append(((os.path.basename(binary), "this tree", os.path.dirname(binary)),
                         doctor(options.stillframe, binary)))
    return 1 if report(rows) else 0


if __name__ == "__main__":
    sys.exit(main())
