#!/usr/bin/env python3
"""clang-tidy over the sources of src/, several at once; exits with 1 when anything is found.

  lint.py BUILD [--jobs N] [--changed [BASE]] [FILE...]

A file that was clean is not looked at again until it, a header of ours that it includes, its compile
command, .clang-tidy or clang-tidy itself changes (BUILD/lint/ remembers). --changed takes the files
that differ from BASE, the commits not yet landed and the working tree; BASE is the last landed
commit: where this branch left origin/main or main, on main itself the commit before; in a clone
without history nothing is looked at. A changed header stands for the source of the same name. The
build must be up to date: its dependencies and compile commands are used."""
import argparse
import concurrent.futures
import hashlib
import json
import pathlib
import re
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TIDY = "clang-tidy-14"
GCC_ONLY = {"-fpch-preprocess", "-Winvalid-pch", "-mgeneral-regs-only",
            "-fno-tree-loop-distribute-patterns"}


def git(*args):
    done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.split() if done.returncode == 0 else None


def landed():
    """The commit that changes are counted from, or None in a tree without history."""
    head = git("rev-parse", "HEAD")
    for branch in ("origin/main", "main"):
        base = git("merge-base", "HEAD", branch)
        if base and base != head:
            return base[0]
    before = git("rev-parse", "--verify", "HEAD~1")
    return before[0] if before else None


def changed_files(base):
    names = (git("diff", "--name-only", base) or []) + (
        git("ls-files", "--others", "--exclude-standard") or [])
    sources = {str(pathlib.Path(name).with_suffix(".cc")) for name in names
               if name.startswith("src/") and name.endswith((".cc", ".h"))}
    return sorted(name for name in sources if (ROOT / name).exists())


def dependencies(build):
    """Source -> the headers of ours that its object was last built from."""
    text = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], capture_output=True,
                          text=True).stdout
    found = {}
    for block in text.split("\n\n"):
        inside = set()
        for line in block.splitlines()[1:]:
            path = (build / line.strip()).resolve()
            if path.is_relative_to(ROOT) and not path.is_relative_to(build):
                inside.add(path)
        for path in inside:
            if path.suffix == ".cc":
                found.setdefault(path, set()).update(inside)
    return found


def for_clang(command):
    """Without what only GCC knows, and without the precompiled header: it is GCC's, and a source
    that does not include what it uses is to be found."""
    words = shlex.split(command)
    kept = []
    for at, word in enumerate(words):
        if word == "-include" and words[at + 1].endswith("cmake_pch.hxx"):
            continue
        if word.endswith("cmake_pch.hxx") and words[at - 1] == "-include":
            continue
        if word in GCC_ONLY or word.startswith("-Wno-"):
            continue
        kept.append(word)
    return shlex.join(kept)


class Linter:
    def __init__(self, build):
        self.build = build
        self.memory = build / "lint"
        self.memory.mkdir(exist_ok=True)
        self.deps = dependencies(build)
        with open(build / "compile_commands.json") as file:
            entries = json.load(file)
        for entry in entries:
            entry["command"] = for_clang(entry["command"])
        (self.memory / "compile_commands.json").write_text(json.dumps(entries))
        self.commands = {str(pathlib.Path(entry["file"]).resolve()): entry["command"]
                         for entry in entries}
        self.digests = {}
        self.common = (ROOT / ".clang-tidy").read_bytes() + subprocess.run(
            [TIDY, "--version"], capture_output=True, check=True).stdout

    def digest(self, path):
        if path not in self.digests:
            self.digests[path] = hashlib.sha256(path.read_bytes()).digest()
        return self.digests[path]

    def stamp(self, path):
        key = hashlib.sha256(self.common + self.commands.get(str(path), "").encode())
        for each in sorted(self.deps.get(path) or {path, *ROOT.glob("src/**/*.h")}):
            if each.exists():
                key.update(str(each.relative_to(ROOT)).encode() + self.digest(each))
        return self.memory / key.hexdigest()

    def run(self, path):
        """What clang-tidy found in a file, "" when nothing; None when it was known to be clean."""
        stamp = self.stamp(path)
        if stamp.exists():
            return None
        done = subprocess.run([TIDY, "--quiet", "-p", str(self.memory), str(path)],
                              capture_output=True, text=True)
        if done.returncode == 0 and "warning:" not in done.stdout:
            stamp.touch()
            return ""
        # Standard error says how many warnings of system headers were left out, or why it failed.
        return done.stdout or done.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--changed", nargs="?", const="", metavar="BASE")
    parser.add_argument("files", nargs="*")
    args = parser.parse_intermixed_args()
    files = args.files
    if args.changed is not None:
        base = args.changed or landed()
        if not base:
            print("clang-tidy: nothing looked at, there is no earlier commit to compare with")
            return 0
        files = changed_files(base)
    elif not files:
        files = git("ls-files", "src/*.cc")
    linter = Linter(args.build.resolve())
    paths = [(ROOT / name).resolve() for name in files]
    missing = [str(path) for path in paths if str(path) not in linter.commands]
    if missing:
        print("not part of the build:", *missing, file=sys.stderr)
        return 1
    began = time.monotonic()
    failed = known = 0
    seen = set()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for found in pool.map(linter.run, paths):
            known += found is None
            if not found:
                continue
            failed += 1
            for finding in re.split(r"\n(?=/\S+:\d+:\d+: (?:warning|error):)", found):
                if finding not in seen:  # a header's finding comes with every source
                    seen.add(finding)
                    print(finding, flush=True)
    print(f"clang-tidy: {len(paths)} files ({known} unchanged since they were clean), "
          f"{failed} with findings, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
