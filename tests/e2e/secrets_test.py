"""A thousand secrets are planted in every place that could carry one. None may be found in what leaves
the program, in what is kept of it, or in the agent's own memory."""
import ctypes
import ctypes.util
import json
import pathlib
import re
import socket
import struct
import subprocess
import tempfile
import threading
import unittest
import zlib

import harness
import secrets_program

POLICY = {"names": ["iban*"], "values": ["sk_live_"], "types": {"deny": ["Vault"]}}
GZIP_MAGIC = b"\x1f\x8b\x08"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

zstd = ctypes.CDLL("libzstd.so.1")
zstd.ZSTD_findFrameCompressedSize.restype = ctypes.c_size_t
zstd.ZSTD_decompress.restype = ctypes.c_size_t
zstd.ZSTD_isError.argtypes = [ctypes.c_size_t]
zstd.ZSTD_findFrameCompressedSize.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
zstd.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]


def unpacked(data):
    """The bytes, and behind them what every zstd and gzip stream in them holds."""
    parts = [data]
    at = data.find(ZSTD_MAGIC)
    while at >= 0:
        rest = data[at:]
        size = zstd.ZSTD_findFrameCompressedSize(rest, len(rest))
        if not zstd.ZSTD_isError(size):
            out = ctypes.create_string_buffer(16 << 20)
            count = zstd.ZSTD_decompress(out, len(out), rest[:size], size)
            if not zstd.ZSTD_isError(count):
                parts.append(out.raw[:count])
        at = data.find(ZSTD_MAGIC, at + 4)
    at = data.find(GZIP_MAGIC)
    while at >= 0:
        try:
            parts.append(zlib.decompressobj(31).decompress(data[at:]))
        except zlib.error:
            pass
        at = data.find(GZIP_MAGIC, at + 3)
    return b"\n".join(parts)


def wide(pattern, unit):
    """The same pattern over texts of `unit` bytes a character."""
    zeros = b"\\x00" * (unit - 1)
    return re.compile(b"z" + zeros + pattern + zeros + b"7" + zeros
                      + b"".join(b"[0-9]" + zeros for _ in range(4)) + b"[0-9a-f]" + zeros)


class Proxy(threading.Thread):
    """Hands everything on to the server and keeps what the agent says."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port = port
        self.said = {}
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.start()

    def run(self):
        while True:
            try:
                agent, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.port))
            said = self.said.setdefault(len(self.said), bytearray())
            threading.Thread(target=self.pump, args=(agent, server, said), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, agent, None), daemon=True).start()

    @staticmethod
    def pump(source, sink, said):
        try:
            while data := source.recv(65536):
                if said is not None:
                    said += data
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Secrets:
    """Once for each of the classes at the end."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sf-secrets-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.program = secrets_program.Program()
        source = self.folder / "secrets.cc"
        source.write_text(self.program.text)
        self.binary = self.folder / "secrets"
        subprocess.run([self.compiler, "-std=c++20", self.level, "-g", "-w", "-o", str(self.binary),
                        str(source)], check=True)
        policy = self.folder / "policy.json"
        policy.write_text(json.dumps(POLICY))
        self.server = harness.Server()
        self.addCleanup(self.server.stop)
        self.proxy = Proxy(self.server.port)
        self.addCleanup(self.proxy.listener.close)
        env = self.server.agent_env(self.server.key("agent"), "vault", STILLFRAME_POLICY=policy,
                                    STILLFRAME_LOG="debug",
                                    STILLFRAME_LIMITS="snapshotsPerSecond=0,cpuPercent=0")
        env["STILLFRAME_SERVER"] = self.proxy.url
        self.ring = self.folder / "ring"
        if self.has_ring_file:
            self.ring.mkdir(mode=0o700)
            env["STILLFRAME_RING_DIR"] = str(self.ring)
        self.errors = open(self.folder / "agent.log", "w+b")
        self.addCleanup(self.errors.close)
        self.process = subprocess.Popen([str(self.binary)], env=env, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.addCleanup(self.end)
        self.thread_locals = int(self.process.stdout.readline(), 16)
        self.said = []  # what the command line printed

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def call(self, method, path, body=None, expect=(200, 201)):
        status, answer = self.server.call(method, path, body)
        self.assertIn(status, expect, answer)
        self.said.append(json.dumps(answer).encode())
        return answer

    def create(self, mark=None, **fields):
        body = {"limits": {"maxHits": 1, "perSecond": 1000, "perTrace": 0}, **fields}
        if mark is not None:
            body["location"] = {"file": "secrets.cc", "line": self.program.line_of(mark)}
        return self.call("POST", "/v1/services/vault/tracepoints", body)["id"]

    def status(self, tracepoint):
        agents = self.call("GET", f"/v1/tracepoints/{tracepoint}").get("agents", [])
        return agents[0] if agents else {"state": ""}

    def wait_state(self, tracepoint, *states):
        def reached():
            status = self.status(tracepoint)
            self.assertFalse(status["state"] == "ERROR" and "ERROR" not in states,
                             (self.call("GET", f"/v1/tracepoints/{tracepoint}"), status))
            return status if status["state"] in states else None

        return harness.wait_for(f"{tracepoint} to be {states}", reached, seconds=60)

    # ---- the search ----

    def find(self, data, where):
        data = bytes(data)
        found = [f"{m.group().decode()} in {data[max(m.start() - 40, 0):m.end() + 8]!r}"
                 for m in secrets_program.SECRET.finditer(data)]
        for unit in (2, 4):
            found += [f"wide {m.group()!r}" for m in wide(b"q", unit).finditer(data)]
        high = secrets_program.NUMBER_HIGH
        numbers = {str(high << 32 | i).encode() for i in range(1, self.program.secrets + 1)}
        found += [m.group().decode() for m in re.finditer(rb"\d{19}", data)
                  if m.group() in numbers]
        for m in re.finditer(re.escape(struct.pack("<I", high)), data):
            low = data[m.start() - 4:m.start()]
            if len(low) == 4 and 0 < struct.unpack("<I", low)[0] <= self.program.secrets:
                around = data[max(m.start() - 84, 0):m.start() + 36].hex(" ", -8)
                found.append(f"number {struct.unpack('<I', low)[0]} at {m.start() - 4:#x}: {around}")
        self.assertEqual(found[:20], [], f"{len(found)} secrets in {where}")

    def expect_control(self, data, where):
        self.assertIsNotNone(secrets_program.CONTROL.search(bytes(data)),
                             f"the search would not find anything in {where}")

    def areas_of_the_agent(self):
        """(begin, end) of all writable memory but the host's own: its data, heap and stack."""
        areas = []
        for line in pathlib.Path(f"/proc/{self.process.pid}/maps").read_text().splitlines():
            fields = line.split(maxsplit=5)
            name = fields[5] if len(fields) > 5 else ""
            if "w" not in fields[1] or name in ("[heap]", "[stack]") or name == str(self.binary):
                continue
            begin, end = (int(part, 16) for part in fields[0].split("-"))
            areas.append((begin, end, name))
        return areas

    def core(self):
        prefix = self.folder / "core"
        done = subprocess.run(["gcore", "-o", str(prefix), str(self.process.pid)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return pathlib.Path(f"{prefix}.{self.process.pid}")

    def check_core(self):
        areas = self.areas_of_the_agent()
        data = self.core().read_bytes()
        phoff, = struct.unpack_from("<Q", data, 32)
        phentsize, phnum = struct.unpack_from("<HH", data, 54)
        searched = host = 0
        for i in range(phnum):
            kind, _, offset, address, _, size, _, _ = struct.unpack_from(
                "<IIQQQQQQ", data, phoff + i * phentsize)
            if kind != 1 or size == 0:
                continue
            segment = bytearray(data[offset:offset + size])
            mine = [name for begin, end, name in areas if begin <= address < end]
            if not mine:
                host += len(secrets_program.SECRET.findall(bytes(segment)))
                continue
            # The host's own thread-local array lies among the libraries'.
            own = self.thread_locals - address
            if 0 <= own < size:
                segment[own:own + 64] = bytes(64)
            searched += size
            self.find(segment, f"the agent's memory at {address:#x} {mine} (thread-local: {self.thread_locals:#x})")
        self.assertGreater(searched, 1 << 20, "the agent's memory is in the core")
        self.assertGreater(host, 100, "the host's own memory shows that secrets would be found")

    # ---- the test ----

    def test_no_secret_leaves_the_program(self):
        self.assertGreaterEqual(self.program.secrets, 1000)
        places = {name: self.create(name, capture={"depth": 5, "frames": 8})
                  for name in self.program.places}
        asked = self.ask()
        more = self.ask_of_results()
        for tracepoint in [*places.values(), *asked["armed"], *more["armed"].values()]:
            self.wait_state(tracepoint, "ARMED", "EMITTING", "COMPLETED")
        snapshots = {}
        for k, (name, tracepoint) in enumerate(places.items()):
            self.run_case(k)
            found = harness.wait_for(f"a snapshot of {name}", lambda t=tracepoint: self.call(
                "GET", f"/v1/snapshots?tracepoint={t}")["snapshots"], seconds=60)
            snapshots[name] = self.call("GET", f"/v1/snapshots/{found[0]['id']}")
        self.run_case(len(places))
        for case in (1, 2, 3):
            self.run_case(len(places) + case)
        self.check_shown(snapshots)
        self.check_asked(asked)
        self.check_results(more)
        for found in list(snapshots.values()):
            self.said.append(self.server.cli("snapshot", found["id"]).stdout.encode())
        for tracepoint in [*places.values(), *asked["armed"], *asked["refused"],
                           *more["armed"].values(), *more["refused"]]:
            self.said.append(self.server.cli("show", tracepoint).stdout.encode())
        self.said.append(self.server.cli("list", "--service", "vault").stdout.encode())
        self.said.append(self.server.cli("snapshots", "--output", "json").stdout.encode())
        self.check_core()
        if self.has_ring_file:
            self.check_ring()
        self.end()
        self.check_outside()

    def run_case(self, number):
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        self.assertEqual(self.process.stdout.readline(), "done\n")

    def ask(self):
        """Expressions, conditions, log messages and distributions over what is secret."""
        refused, armed = [], []
        for text in ("password", "account.m_apiKey", "account.pin[0]", "login.raw[0]", "pin + 1",
                     'ordered["password"]', 'hashed["api_key"]', "::g_masterKey", "t_token[0]",
                     "any(ordered, e -> password == e.first)"):
            refused.append(self.create("Ask", expressions=[text]))
        for text in ('password == "x"', 'account.m_apiKey.starts_with("z")', "pin > 1",
                     'ordered["password"].size() > 3', "t_token[0] == 'z'"):
            refused.append(self.create("Ask", condition=text))
        for text in ("{password}", "{account.m_apiKey} of {city}", "{::g_passwords}"):
            refused.append(self.create("Ask", kind="LOG", logMessage=text))
        refused.append(self.create("Ask", kind="DISTRIBUTION", expressions=["pin"]))
        # What only a hit can tell.
        watches = ["ordered[asked]", "hashed[askedHash]", "fields[field]", "harmless", "live",
                   'any(ordered, e -> e.second.starts_with("zq"))', "pairs[0].second",
                   "headers[0].value", "filter(ordered, e -> e.first.size() > 4)", "card",
                   "ordered[city]", "hashed[city]"]
        armed.append(self.create("Ask", expressions=watches, capture={"depth": 5}))
        armed.append(self.create("Ask", condition='ordered[asked].starts_with("z")'))
        armed.append(self.create("Ask", condition='any(pairs, p -> p.second.starts_with("z"))'))
        armed.append(self.create("Ask", kind="LOG", logMessage="{harmless} {live} {city} {card}"))
        armed.append(self.create("Ask", kind="LOG", logMessage="{account} {ordered} {headers}"))
        armed.append(self.create("Ask", capture={"stringBytes": 8, "depth": 5}))
        armed.append(self.create("Ask", kind="COUNTER"))
        armed.append(self.create(location={"exception": "std::runtime_error"}))
        armed.append(self.create(kind="SPAN", location={"function": "Ask"}))
        return {"refused": refused, "armed": armed, "watches": watches}

    def ask_of_results(self):
        """What functions return, and values whose keys are other variables."""
        def at_return(function):
            return {"location": {"function": function, "at": "return"}}

        refused, armed = [], {}
        for function in self.program.returns:
            armed[function] = self.create(**at_return(function), capture={"depth": 5})
        for function in ("getPassword", "SecretBox::Reveal"):
            refused.append(self.create(**at_return(function), expressions=["$return.size()"]))
            refused.append(self.create(**at_return(function), expressions=["$return"]))
            refused.append(self.create(**at_return(function), kind="LOG", logMessage="{$return}"))
            refused.append(self.create(**at_return(function),
                                       condition='$return.starts_with("zq7")'))
        refused.append(self.create(**at_return("pinCode"), kind="DISTRIBUTION",
                                   expressions=["$return"]))
        refused.append(self.create(**at_return("pinCode"), condition="$return > 7"))
        refused.append(self.create(**at_return("api_key"), condition="$return[0] == 'z'"))
        armed["greeting"] = self.create(**at_return("Greeting"), kind="LOG",
                                        logMessage="it is {$return}")
        armed["header"] = self.create(**at_return("OneHeader"),
                                      expressions=["$return.second", "std::get<1>($return)"])
        armed["set"] = self.create("Set", expressions=["value", "val", "value.size()"])
        armed["set-log"] = self.create("Set", kind="LOG", logMessage="{name}={value} {key}={val}")
        armed["set-if"] = self.create("Set", condition='value.starts_with("zq7")')
        armed["set-sum"] = self.create("Set", kind="DISTRIBUTION", expressions=["val"])
        both = {"maxHits": 2, "perSecond": 1000, "perTrace": 0}
        armed["loop"] = self.create("Loop", limits=both, expressions=[
            "text", "text.size()", "std::get<1>(entry)", "std::get<1>(pair)", "entry"])
        armed["loop-log"] = self.create("Loop", kind="LOG", limits=both,
                                        logMessage="{word}: {text}")
        armed["loop-if"] = self.create("Loop", condition='text.starts_with("zq7")')
        return {"refused": refused, "armed": armed}

    def check_results(self, asked):
        def found(name, count=1):
            path = f"/v1/snapshots?tracepoint={asked['armed'][name]}"
            listed = harness.wait_for(f"{count} of {name}", lambda: (
                lambda all: all if len(all) >= count else None)(self.call("GET", path)["snapshots"]))
            # The oldest first.
            return [self.call("GET", f"/v1/snapshots/{s['id']}") for s in reversed(listed)]

        def counters(name, counter):
            return harness.wait_for(f"{counter} of {name}", lambda: next(
                (s["counters"] for s in [self.status(asked["armed"][name])]
                 if s.get("counters", {}).get(counter)), None))

        for tracepoint in asked["refused"]:
            status = self.wait_state(tracepoint, "ERROR")
            self.assertEqual(status["reason"], "REDACTED", status)
        for function in self.program.returns:
            frame = found(function)[0]["frames"][0]
            value = harness.variable(frame, "$return")
            if function == "OneHeader":
                value = harness.variable(frame, "$return.second")
            self.assertEqual(value["status"], "REDACTED", f"{function}: {value}")
        self.assertEqual(found("greeting")[0]["message"], "it is <redacted>")
        hidden = found("header")[0]["expressions"] + found("set")[0]["expressions"]
        self.assertEqual([v["status"] for v in hidden], ["REDACTED"] * 5, hidden)
        frame = found("set")[0]["frames"][0]
        self.assertEqual([(harness.variable(frame, name) or {}).get("status")
                          for name in ("value", "val")], ["REDACTED"] * 2, frame)
        # A message that reads "pin=..." is hidden altogether.
        self.assertRegex(found("set-log")[0]["message"], "=<redacted> .*=<redacted>$")
        for name in ("set-if", "set-sum"):
            self.assertEqual(counters(name, "conditionError")["captured"], 0)
        # "city" comes first.
        city, secret = found("loop", 2)
        self.assertIn("zk7", city["expressions"][0]["value"])
        self.assertEqual(city["expressions"][1]["value"], "19")
        for values in (city["expressions"][2:4], secret["expressions"][:4]):
            self.assertEqual({v["status"] for v in values}, {"REDACTED"}, values)
        self.assertIn("zk7", harness.variable(city["frames"][0], "text")["value"])
        self.assertEqual(harness.variable(secret["frames"][0], "text")["status"], "REDACTED")
        entry = city["expressions"][4]["children"]
        self.assertEqual([v["status"] for v in entry], ["EXACT", "REDACTED"], entry)
        first, second = (s["message"] for s in found("loop-log", 2))
        self.assertRegex(first, "^city: zk7")
        self.assertRegex(second, ": <redacted>$")
        told = counters("loop-if", "conditionError")
        self.assertEqual((told["captured"], told["conditionFalse"]), (0, 1))

    def check_ring(self):
        """What was decoded is wiped from the file that would survive."""
        files = [path for path in self.ring.rglob("*") if path.is_file()]
        self.assertTrue(files)
        for path in files:
            self.find(unpacked(path.read_bytes()), path.name)

    def check_asked(self, asked):
        for tracepoint in asked["refused"]:
            status = self.wait_state(tracepoint, "ERROR")
            self.assertEqual(status["reason"], "REDACTED", status)
        first, condition, pairs = asked["armed"][:3]
        found = harness.wait_for("the watches", lambda: self.call(
            "GET", f"/v1/snapshots?tracepoint={first}")["snapshots"])[0]
        shown = self.call("GET", f"/v1/snapshots/{found['id']}")["expressions"]
        for text, value in zip(asked["watches"][:5], shown):
            self.assertEqual(value["status"], "REDACTED", f"{text}: {value}")
        self.assertEqual(shown[5]["status"], "REDACTED", shown[5])
        for value in shown[6:8] + [shown[9]]:
            self.assertEqual(value["status"], "REDACTED", value)
        self.assertIn("zk7", json.dumps(shown[10]))
        self.assertIn("zk7", json.dumps(shown[11]))
        for tracepoint in (condition, pairs):
            counters = harness.wait_for("the condition's error", lambda t=tracepoint: next(
                (s["counters"] for s in [self.status(t)]
                 if s.get("counters", {}).get("conditionError")), None))
            self.assertEqual(counters.get("captured", 0), 0)
        for tracepoint in asked["armed"][3:6] + asked["armed"][7:8]:
            found = harness.wait_for("what was captured", lambda t=tracepoint: self.call(
                "GET", f"/v1/snapshots?tracepoint={t}")["snapshots"])
            self.call("GET", f"/v1/snapshots/{found[0]['id']}")

    def check_shown(self, snapshots):
        for function, name in self.program.named:
            frame = snapshots[function]["frames"][0]
            value = harness.variable(frame, name)
            if value is None and self.level != "-O0":
                continue
            self.assertIsNotNone(value, f"{function} shows no {name}")
            self.assertEqual(value["status"], "REDACTED", f"{function} {name}: {value}")
        for function, snapshot in snapshots.items():
            self.assertIn("zk7", json.dumps(harness.variable(snapshot["frames"][0], "visible")))
            caller = harness.variable(snapshot["frames"][1], "callersPassword")
            if caller is None and self.level != "-O0":
                continue
            self.assertEqual(caller["status"], "REDACTED", function)

    def check_outside(self):
        wire = unpacked(b"\n".join(bytes(one) for one in self.proxy.said.values()))
        self.expect_control(wire, "the wire")
        self.find(wire, "the wire")
        for path in sorted(self.server.folder.iterdir()):
            self.find(unpacked(path.read_bytes()), path.name)
        self.expect_control(
            unpacked(b"".join(p.read_bytes() for p in self.server.folder.glob("store.db*"))),
            "the store")
        self.errors.flush()
        log = (self.folder / "agent.log").read_bytes()
        self.assertIn(b"tracepoint", log)
        self.find(log, "the agent's log")
        for text in self.said:
            self.find(text, "what the server and the command line say: " + text[:300].decode())
        self.expect_control(b"".join(self.said), "answers")


class Gcc(Secrets, unittest.TestCase):
    compiler, level, has_ring_file = "g++", "-O0", False


class GccOptimized(Secrets, unittest.TestCase):
    compiler, level, has_ring_file = "g++", "-O2", True


class Clang(Secrets, unittest.TestCase):
    compiler, level, has_ring_file = "clang++-14", "-O0", True


class ClangOptimized(Secrets, unittest.TestCase):
    compiler, level, has_ring_file = "clang++-14", "-O2", False


if __name__ == "__main__":
    unittest.main(verbosity=2)
