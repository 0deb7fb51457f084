"""What the end-to-end tests share: real processes, real sockets, no sleeping for luck."""
import atexit
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("STILLFRAME_BUILD", SOURCE / "build" / "release"))
AGENT = BUILD / "lib" / "libstillframe.so"
CLI = BUILD / "bin" / "stillframe"
SERVER = BUILD / "bin" / "stillframe-server"
TARGETS = SOURCE / "tests" / "targets" / "e2e"


def wait_for(what, condition, seconds=20):
    """Polls until condition() is truthy and returns it; fails by name after the deadline."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.01)


def line_of(source, mark):
    """Number of the one line of a target's source that holds `// mark`."""
    lines = (TARGETS / source).read_text().splitlines()
    found = [n for n, text in enumerate(lines, 1) if re.search(rf"//.*\b{mark}\b", text)]
    assert len(found) == 1, f"{source}: {mark} is on lines {found}"
    return found[0]


_compiled = {}


def compile_target(source, compiler="g++", flags=("-O2", "-g"), extra=()):
    """Compiles a target once per (source, compiler, flags); returns the executable's path."""
    key = (source, compiler, tuple(flags), tuple(extra))
    if key not in _compiled:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-target-"))
        out = folder / pathlib.Path(source).stem
        subprocess.run([compiler, "-std=c++20", *flags, "-o", str(out), str(TARGETS / source),
                        "-pthread", *extra], check=True, cwd=folder)  # *.dwo go there
        _compiled[key] = out
    return _compiled[key]


def cleanup_targets():
    for path in _compiled.values():
        shutil.rmtree(path.parent, ignore_errors=True)
    _compiled.clear()


_public_agent = None


def public_agent():
    """The agent where every user may read it: hosts change theirs, and a checkout may lie in a folder
    that is its owner's alone."""
    global _public_agent
    if _public_agent is None:
        library = AGENT.resolve()
        _public_agent = AGENT
        if any(not parent.stat().st_mode & 0o001 for parent in library.parents):
            folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-agent-"))
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            folder.chmod(0o755)
            _public_agent = folder / AGENT.name
            shutil.copyfile(library, _public_agent)
    return _public_agent


def agent_env(**extra):
    env = {k: v for k, v in os.environ.items() if not k.startswith("STILLFRAME_")}
    env["LD_PRELOAD"] = str(public_agent())
    env.update({k: str(v) for k, v in extra.items()})
    return env


_flush_library = None


def flush_library():
    """A library that waits at exit until the agent has written everything: it is given 500 ms, which
    is what lifecycle_test looks at and not enough on a busy machine."""
    global _flush_library
    if _flush_library is None:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-flush-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        library = folder / "libflush.so"
        subprocess.run(["g++", "-std=c++20", "-O1", "-shared", "-fPIC", f"-I{SOURCE / 'include'}",
                        "-o", str(library), str(TARGETS / "flush_at_exit.cc")], check=True)
        _flush_library = library
    return _flush_library


OUTCOMES = ("conditionFalse", "conditionError", "rateLimited", "budgetStopped", "reentrant",
            "ringFull", "unsafeContext", "captured")
# What the agent says at the level `info`, which tests that do not ask for it need not see.
INFO_LINES = re.compile(
    r"stillframe: (tracepoint \S+ at exit: |tracepoint \S+: final \{|tracepoint \S+: "
    r"(RECEIVED|ARMED|EMITTING|COMPLETED|THROTTLED|EXPIRED)\b|conditions over the heap are slow|"
    r"no (memory for an )?unwind table|descriptors are shared|the program's main thread ends|"
    r"the server )")


def check_accounting(tracepoint, status):
    """Every hit and every capture is accounted for: ARCHITECTURE, "Every hit is accounted for"."""
    counters = status["counters"]
    where = f"tracepoint {tracepoint} of {status.get('instance')}: {counters}"
    if counters["hits"] != sum(counters[name] for name in OUTCOMES):
        raise AssertionError(f"hits are not accounted for: {where}")
    known = counters["acked"] + counters["inFlight"] + sum(counters["dropped"].values())
    if counters["captured"] != known:
        raise AssertionError(f"captures are not accounted for: {where}")
    nanos = status["hitNanos"]
    if nanos["p50"] > nanos["p99"] or (counters["hits"] == 0) and nanos["p99"] != 0:
        raise AssertionError(f"hitNanos are impossible: {nanos}: {where}")


def check_final_accounting(stderr):
    """Of what a program's agent said at its end; returns how many tracepoints that were."""
    found = re.findall(r"^stillframe: tracepoint (\S+): final (\{.*\})$", stderr, re.M)
    for tracepoint, status in found:
        check_accounting(tracepoint, json.loads(status))
    return len(found)


def run_with_file(program, tracepoints, args=(), timeout=60, check=True, env=None, stdin=None,
                  flush=True):
    """Runs a program in file mode; returns (completed process, snapshots). With `flush` none of them
    is lost to a machine that is too busy at the program's end."""
    with tempfile.TemporaryDirectory(prefix="sf-file-") as folder:
        wanted = pathlib.Path(folder) / "tracepoints.json"
        output = pathlib.Path(folder) / "snapshots.jsonl"
        wanted.write_text(json.dumps({"tracepoints": tracepoints}))
        settings = {"STILLFRAME_LOG": "info", "STILLFRAME_START_WAIT": "20s", **(env or {})}
        full = agent_env(STILLFRAME_TRACEPOINTS=wanted, STILLFRAME_OUTPUT=output, **settings)
        if flush:
            full["LD_PRELOAD"] = f"{flush_library()}:{full['LD_PRELOAD']}"
        done = subprocess.run([str(program), *args], env=full, capture_output=True, text=True,
                              timeout=timeout, stdin=stdin)
        check_final_accounting(done.stderr)
        if "STILLFRAME_LOG" not in (env or {}):
            done.stderr = "".join(line for line in done.stderr.splitlines(True)
                                  if not INFO_LINES.match(line))
        if check and done.returncode != 0:
            raise AssertionError(f"{program} ended with {done.returncode}: {done.stderr[-2000:]}")
        text = output.read_text() if output.exists() else ""
        lines = [line for line in text.split("\n") if line]
        return done, [json.loads(line) for line in lines]


def variable(frame, name):
    """The variable (or dotted path of children) of a frame, or None."""
    items = frame["variables"]
    found = None
    for part in re.findall(r"\[[^\]]*\]|[^.\[\]]+", name):
        found = next((v for v in items if v.get("name") == part), None)
        if found is None:
            return None
        items = found.get("children", [])
    return found


class Server:
    """A real stillframe-server with a store in a folder of its own."""

    def __init__(self, folder=None, args=()):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="sf-server-"))
        self.args = list(args)
        self.store = f"sqlite:{self.folder / 'store.db'}"
        self.port = 0
        self.admin_key = None
        self.process = None
        self.start()

    def start(self):
        said = self.folder / "server.out"
        with open(said, "wb") as out, open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [str(SERVER), "--listen", f"127.0.0.1:{self.port}", "--store", self.store,
                 *self.args], stdout=out, stderr=log)

        def up():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}: "
                                     + (self.folder / "server.log").read_text()[-2000:])
            found = re.search(r"127\.0\.0\.1:(\d+)", said.read_text())
            return found if found and self.healthy(int(found.group(1))) else None

        port = wait_for("the server to start", up)
        text = said.read_text()
        self.port = int(port.group(1))
        self.url = f"http://127.0.0.1:{self.port}"
        key = re.search(r"admin key: (\S+)", text)
        if key:
            self.admin_key = key.group(1)

    def healthy(self, port):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, OSError):
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def check_accounting(self):
        """Of every tracepoint and process that the server has heard of; returns how many."""
        status, body = self.call("GET", "/v1/services")
        assert status == 200, body
        checked = 0
        for service in body["services"]:
            _, found = self.call("GET", f"/v1/services/{service['name']}/tracepoints")
            for tracepoint in found["tracepoints"]:
                for agent in tracepoint.get("agents", []):
                    check_accounting(tracepoint["id"], agent)
                    checked += 1
        return checked

    def stop(self):
        if self.process.poll() is None:
            try:
                if self.admin_key:
                    self.check_accounting()
            finally:
                self.end()
                shutil.rmtree(self.folder, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(timeout=20) == 0, "the server did not end with 0"

    def key(self, role, *scope):
        done = subprocess.run([str(SERVER), "keys", "create", "--store", self.store, "--role", role,
                               *scope], capture_output=True, text=True, check=True)
        return re.search(r"sfk_\S+", done.stdout).group(0)

    def call(self, method, path, body=None, key=None):
        """Returns (status, parsed body)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {key or self.admin_key}")
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            text = error.read()
            return error.code, json.loads(text) if text else None

    def cli(self, *args, key=None, check=True, timeout=60):
        done = subprocess.run([str(CLI), "--server", self.url, "--key", key or self.admin_key,
                               *args], capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            raise AssertionError(f"stillframe {args} ended with {done.returncode}: "
                                 f"{done.stdout}{done.stderr}")
        return done

    def agent_env(self, key, service, **extra):
        return agent_env(STILLFRAME_SERVER=self.url, STILLFRAME_API_KEY=key,
                         STILLFRAME_SERVICE=service, **extra)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _program(pid):
    """(path, address) of what the process runs; None while it is being replaced (exec)."""
    path = os.readlink(f"/proc/{pid}/exe")
    for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
        if line.endswith(path):
            return path, int(line.split("-")[0], 16)
    return None


def text_differences(pid):
    """Compares the executable segments of the main program in memory with its file; returns the
    number of bytes that differ."""
    import struct
    path, base = wait_for("a program that is loaded", lambda: _program(pid), seconds=5)
    data = pathlib.Path(path).read_bytes()
    phoff, = struct.unpack_from("<Q", data, 32)
    phentsize, phnum = struct.unpack_from("<HH", data, 54)
    first = None
    different = 0
    with open(f"/proc/{pid}/mem", "rb") as memory:
        for i in range(phnum):
            kind, flags, offset, vaddr, _, filesz = struct.unpack_from(
                "<IIQQQQ", data, phoff + i * phentsize)
            if kind != 1:
                continue
            if first is None:
                first = vaddr & ~0xfff
            if not flags & 1:
                continue
            memory.seek(base - first + vaddr)
            live = memory.read(filesz)
            different += sum(a != b for a, b in zip(live, data[offset:offset + filesz]))
    return different
