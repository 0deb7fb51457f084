"""The peers that need no debugger: kernel uprobes, bpftrace, LTTng-UST, uftrace, a bare int3."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import time

from session import FEW_BURST, LINE, Session, Skip, private_copy, require


def shell(*command, check=True, env=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
    if check and done.returncode != 0:
        raise Skip(f"{command[0]}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
    return done.stdout


def symbol_address(program, name):
    for line in shell("nm", "-C", program).splitlines():
        if re.search(rf" [tT] {re.escape(name)}(\(|$)", line):
            return int(line.split()[0], 16)
    raise Skip(f"no symbol {name}")


def line_address(program):
    text = shell("gdb", "-nx", "-batch", "-ex", f"info line work_probed.cc:{LINE}", program)
    found = re.search(r"starts at address (0x[0-9a-f]+)", text)
    if not found:
        raise Skip(f"no address for the line: {text.strip()}")
    return int(found.group(1), 16)


def file_offset(program, address):
    for line in shell("readelf", "-lW", program).splitlines():
        part = line.split()
        if part[:1] == ["LOAD"]:
            offset, start, size = int(part[1], 16), int(part[2], 16), int(part[4], 16)
            if start <= address < start + size:
                return address - start + offset
    raise Skip(f"{address:#x} is in no segment")


class Peer:
    clock = "cpu"
    target = None
    burst = {}

    def __init__(self, name):
        self.name = name

    def expect(self, session, counted):
        assert counted == session.total, \
            f"{self.name}: the tool counted {counted}, the loop {session.total}"


class Tracefs:
    """A tracefs mount of our own; it goes away with us."""
    _folder = None

    @classmethod
    def folder(cls):
        if cls._folder is None:
            if os.geteuid() != 0:
                raise Skip("needs root")
            folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-tracefs-"))
            done = subprocess.run(["mount", "-t", "tracefs", "none", str(folder)],
                                  capture_output=True, text=True)
            if done.returncode != 0 or not (folder / "uprobe_events").exists():
                subprocess.run(["umount", str(folder)], capture_output=True)
                folder.rmdir()
                raise Skip(f"no uprobe_events here: {done.stderr.strip()}")
            cls._folder = folder
        return cls._folder

    @classmethod
    def clean(cls):
        if cls._folder is not None:
            subprocess.run(["umount", str(cls._folder)])
            cls._folder.rmdir()
            cls._folder = None


class Uprobe(Peer):
    def __init__(self, name, variant, place):
        super().__init__(name)
        self.variant = variant
        self.place = place
        self.group = f"sfbench{os.getpid()}_{place}"

    def _write(self, name, text):
        # Appending: the other way of opening uprobe_events removes everybody's probes. Without
        # Python's files, which seek.
        fd = os.open(Tracefs.folder() / name, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)

    def start(self, programs, folder):
        Tracefs.folder()
        if self.variant not in programs:
            raise Skip(f"the {self.variant} build failed")
        program = private_copy(programs[self.variant], folder)
        address = {"line": lambda: line_address(program),
                   "entry": lambda: symbol_address(program, "probed::Work"),
                   "nop5": lambda: symbol_address(program, "sfbench_nop5")}[self.place]()
        try:
            self._write("uprobe_events",
                        f"p:{self.group}/hit {program}:{file_offset(program, address):#x}\n")
            self._write(f"events/{self.group}/hit/enable", "1")
        except OSError as error:
            raise Skip(f"uprobe_events: {error}") from None
        try:
            return Session(folder, [str(program)])
        except Skip:
            self._remove()
            raise

    def _remove(self):
        self._write(f"events/{self.group}/hit/enable", "0")
        self._write("uprobe_events", f"-:{self.group}/hit\n")

    def finish(self, session):
        session.quit()
        profile = (Tracefs.folder() / "uprobe_profile").read_text()
        self._remove()
        mine = [line.split() for line in profile.splitlines() if str(session.folder) in line]
        # FILE EVENT HITS [MISSES]
        self.expect(session, sum(int(part[2]) for part in mine))
        return "counted by uprobe_profile"


class Bpftrace(Peer):
    def start(self, programs, folder):
        require("bpftrace", "bpftrace")
        if os.geteuid() != 0:
            raise Skip("needs root")
        program = private_copy(programs["base"], folder)
        session = Session(folder, [str(program)])
        offset = line_address(program) - symbol_address(program, "probed::Work")
        # The symbol's mangled name, as in the ELF file.
        symbol = re.search(r" (_ZN6probed4Work\S+)", shell("nm", program)).group(1)
        script = f"uprobe:{program}:{symbol}+{offset} {{ @hits = count(); }} " \
                 "BEGIN { printf(\"ready\\n\"); }"
        self.log = folder / "bpftrace.log"
        with open(self.log, "wb") as log:
            self.tool = subprocess.Popen(["bpftrace", "-e", script], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while b"ready" not in self.log.read_bytes():
            if self.tool.poll() is not None or time.monotonic() > deadline:
                self.tool.kill()
                self.tool.wait()
                session.kill()
                raise Skip(f"bpftrace: {self.log.read_text().strip().splitlines()[-1:]}")
            time.sleep(0.05)
        return session

    def finish(self, session):
        session.quit()
        try:
            self.tool.send_signal(signal.SIGINT)  # prints its maps
            self.tool.wait(timeout=20)
        finally:
            self.tool.kill()  # it was seen to outlive a SIGTERM
            self.tool.wait()
        found = re.search(r"@hits: (\d+)", self.log.read_text())
        self.expect(session, int(found.group(1)) if found else None)
        return "counted by a BPF map"


class Lttng(Peer):
    """A session daemon and a home of its own, without kernel tracing."""
    burst = FEW_BURST

    def __init__(self, name, threads_context=False):
        super().__init__(name)
        self.threads_context = threads_context

    def start(self, programs, folder):
        require("lttng", "lttng-tools")
        require("lttng-sessiond", "lttng-tools")
        require("babeltrace2", "babeltrace2")
        if "lttng" not in programs:
            raise Skip("no LTTng headers (package liblttng-ust-dev)")
        folder.mkdir(parents=True, exist_ok=True)
        # An unprivileged daemon of root's would share /var/run: a home and a run folder of our own.
        self.env = dict(os.environ, LTTNG_HOME=str(folder), HOME=str(folder),
                        LTTNG_UST_REGISTER_TIMEOUT="-1", LTTNG_RUNDIR=str(folder / "run"),
                        LTTNG_UST_CTL_PATH=str(folder / "run"))
        self.env.pop("LD_PRELOAD", None)
        if subprocess.run(["pgrep", "-x", "lttng-sessiond"], capture_output=True).returncode == 0:
            raise Skip("another lttng-sessiond is running")
        log = open(folder / "sessiond.log", "wb")
        self.daemon = subprocess.Popen(["lttng-sessiond", "--no-kernel"], stdout=log, stderr=log,
                                       env=dict(self.env))
        try:
            self._wait_for_daemon()
            self.trace = folder / "trace"
            self._lttng("create", "sfbench", f"--output={self.trace}")
            self._lttng("enable-channel", "--userspace", "--num-subbuf=8", "--subbuf-size=4M", "ch")
            self._lttng("enable-event", "--userspace", "--channel=ch", "sfbench:hit")
            if self.threads_context:
                self._lttng("add-context", "--userspace", "--type=vtid")
            self._lttng("start")
            program = private_copy(programs["lttng"], folder)
            return Session(folder, [str(program)], self.env)
        except Skip:
            self._stop()
            raise

    def _wait_for_daemon(self):
        deadline = time.monotonic() + 20
        while subprocess.run(["lttng", "list"], env=self.env, capture_output=True).returncode != 0:
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                raise Skip("lttng-sessiond does not answer")
            time.sleep(0.05)

    def _lttng(self, *args):
        return shell("lttng", "--no-sessiond", *args, env=self.env)

    def _stop(self):
        self.daemon.terminate()
        self.daemon.wait(timeout=20)

    def finish(self, session):
        session.quit()
        try:
            self._lttng("stop")
            status = self._lttng("list", "sfbench")
            self._lttng("destroy")
            lost = sum(int(n) for n in re.findall(r"Discarded events: (\d+)", status))
            counter = shell("babeltrace2", self.trace, "--component=sink.utils.counter",
                            "--params=step=+0")
            kept = int(re.search(r"(\d+) Event message", counter.replace(",", "")).group(1))
        finally:
            self._stop()
            shutil.rmtree(self.trace, ignore_errors=True)
        self.expect(session, kept + lost)
        return f"kept {100 * kept / session.total:.3g} %, counted by babeltrace2"


class Uftrace(Peer):
    """Function entry and exit (two records), no locals: -pg, as its manual has it."""
    burst = FEW_BURST

    def start(self, programs, folder):
        require("uftrace", "uftrace")
        if "pg" not in programs:
            raise Skip("the -pg build failed")
        program = private_copy(programs["pg"], folder)
        self.data = folder / "data"
        return Session(folder, ["uftrace", "record", "--no-libcall", "-b", "8m", "-d", str(self.data),
                                "-F", "probed::Work", str(program)])

    def finish(self, session):
        session.quit()
        report = shell("uftrace", "report", "-d", self.data)
        found = re.search(r"(\d+)\s+probed::Work", report)
        lost = sum(int(n) for n in re.findall(r"LOST (\d+) records", session.said()))
        shutil.rmtree(self.data, ignore_errors=True)
        calls = int(found.group(1)) if found else None
        if lost == 0:
            self.expect(session, calls)
        return f"{lost} records lost" if lost else "counted by uftrace report"


class Int3(Peer):
    """The floor of every trap-based tool: int3 into an empty SIGTRAP handler."""

    def start(self, programs, folder):
        if "int3" not in programs:
            raise Skip("the int3 build failed")
        return Session(folder, [str(private_copy(programs["int3"], folder))])

    def finish(self, session):
        traps = session.ask("hit 1 1")["traps"]
        session.quit()
        self.expect(session, traps)
        return "counted by its handler"


class NotPackaged(Peer):
    def __init__(self, name, why):
        super().__init__(name)
        self.why = why

    def start(self, programs, folder):
        raise Skip(self.why)


def rows():
    return [
        Lttng("LTTng-UST, compiled in, the five fields"),
        Uftrace("uftrace (-pg): entry and exit, no values"),
        Uprobe("kernel uprobe on a 5-byte nop", "nop5", "nop5"),
        Uprobe("kernel uprobe at the function's entry (a push)", "push", "entry"),
        Uprobe("kernel uprobe on the line", "base", "line"),
        Bpftrace("bpftrace, count() on the line"),
        Int3("int3 and an empty handler"),
        NotPackaged("SystemTap", "needs the kernel's headers and modules"),
        NotPackaged("frida-gum", "not packaged for Debian"),
    ]
