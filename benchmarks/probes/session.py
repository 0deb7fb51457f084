"""One running workload, and how it is built and talked to."""
import json
import os
import pathlib
import select
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FLAGS = ["-std=c++20", "-O2", "-g", "-fno-pie", "-falign-functions=64", f"-I{HERE}",
         f"-I{ROOT / 'include'}"]
START_SECONDS = 20
ANSWER_SECONDS = 40
# Bursts of rows that make a record of each hit: few enough for every tool's buffers, which are
# emptied in the pause after each.
FEW_BURST = {"max_hits": 300, "pause_us": 50_000, "pairs": 5}


class Skip(Exception):
    """A row that cannot be measured here, and why."""


class NoFigure(Exception):
    """The tool does not do what the row is about, so what was measured is no figure for it."""


def probed_line():
    lines = (HERE / "work.cc").read_text().splitlines()
    return next(n for n, text in enumerate(lines, 1) if "// probe here" in text)


LINE = probed_line()


def build(variant, folder, defines=(), probed_flags=(), libraries=(), extra_sources=()):
    """Compiles the workload into folder/variant/workload; returns its path. The plain copy is the
    same whatever the variant."""
    out = folder / variant
    out.mkdir(parents=True, exist_ok=True)
    objects = []

    def compile_one(source, name, *flags):
        objects.append(f"{name}.o")
        done = subprocess.run(["g++", *FLAGS, *flags, "-c", str(source), "-o", f"{name}.o"],
                              cwd=out, capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip(f"does not compile: {done.stderr.strip().splitlines()[0]}")

    for copy, flags in (("plain", ()), ("probed", (*defines, *probed_flags))):
        source = out / f"work_{copy}.cc"
        shutil.copy(HERE / "work.cc", source)
        compile_one(source.name, f"work_{copy}", f"-DWORK_NAMESPACE={copy}", *flags)
    for source in ("workload.cc", *extra_sources):
        compile_one(HERE / source, source.split(".")[0], *defines)
    subprocess.run(["g++", "-no-pie", *objects, "-o", "workload", "-pthread", *probed_flags,
                    *libraries], cwd=out, check=True)
    return out / "workload"


def private_copy(program, folder):
    """A copy of its own: kernel probes belong to the file, not to the process."""
    folder.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(shutil.copy(program, folder / "workload"))


class Session:
    """Starts a command and talks to the workload in it through two named pipes, folder/in and
    folder/out, which are the command's last arguments unless it passes them itself."""

    def __init__(self, folder, command, env=None, append_pipes=True):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.log = folder / "log"
        self.total = 0
        paths = [str(folder / name) for name in ("in", "out")]
        for path in paths:
            pathlib.Path(path).unlink(missing_ok=True)
            os.mkfifo(path, 0o600)
        self.answers = os.open(paths[1], os.O_RDONLY | os.O_NONBLOCK)
        self.buffer = b""
        # Both ends, so that neither side waits for the other to open its own.
        self.commands = os.fdopen(os.open(paths[0], os.O_RDWR), "w")
        full = [*command, *paths] if append_pipes else command
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(full, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log, env=env, cwd=folder)
        try:
            self.pid = self._answer(START_SECONDS)["pid"]
        except AssertionError as error:
            self.kill()
            raise Skip(f"the workload did not start: {error}") from None

    def said(self):
        return self.log.read_text(errors="replace")

    def _answer(self, seconds=ANSWER_SECONDS):
        deadline = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AssertionError(f"no answer in {seconds} s; {self.said()[-300:]}")
            if not select.select([self.answers], [], [], min(left, 0.05))[0]:
                continue
            part = os.read(self.answers, 1 << 20)
            if part:
                self.buffer += part
            elif self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.said()[-300:]}")
            else:
                time.sleep(0.005)  # nobody has opened the other end yet
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def ask(self, command):
        self.commands.write(command + "\n")
        self.commands.flush()
        answer = self._answer()
        self.total = answer["total"]
        return answer

    def quit(self):
        """Lets the workload end and waits for what it was started with."""
        self.commands.write("quit\n")
        self.commands.flush()
        self.process.wait(timeout=ANSWER_SECONDS)
        self.close()

    def close(self):
        if self.commands is not None:
            self.commands.close()
            self.commands = None
        if self.answers >= 0:
            os.close(self.answers)
            self.answers = -1

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.close()


def require(tool, package):
    if shutil.which(tool) is None:
        raise Skip(f"{tool} is not installed (package {package})")
