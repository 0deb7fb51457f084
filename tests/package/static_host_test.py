"""The agent linked in from libstillframe.a: it works as the shared one does, and the program that
links it keeps its own libcurl, OpenSSL, Capstone, zlib, protobuf, C++ library and allocator.

  static_host_test.py      Environment: STILLFRAME_BUILD, CXX, CC.
"""
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "e2e"))
import harness  # noqa: E402

ARCHIVE = harness.BUILD / "lib" / "libstillframe.a"
INCLUDE = harness.SOURCE / "include"
MAP = harness.SOURCE / "cmake" / "stillframe.map"
CXX = os.environ.get("CXX", "c++")
CC = os.environ.get("CC", "cc")
UNLIMITED = "snapshotsPerSecond=0,cpuPercent=0"  # a loaded machine must not cost a snapshot
AGENT_FLAGS = ["-Wl,--undefined=stillframe_version", str(ARCHIVE), "-lm", "-pthread", "-ldl"]
DYNAMIC = ["-lcurl", "-lssl", "-lcrypto", "-lcapstone", "-lprotobuf", "-lz"]
# libcurl's archive needs some thirty more libraries; the others are there as archives.
STATIC = ["-lcurl", "-l:libssl.a", "-l:libcrypto.a", "-l:libcapstone.a", "-l:libprotobuf.a",
          "-l:libz.a"]


def symbols(path, *options):
    """Pairs of (kind, name) that nm lists, without symbol versions."""
    out = subprocess.run(["nm", *options, str(path)], capture_output=True, text=True,
                         check=True).stdout
    return [(line.split()[-2], line.split()[-1].split("@")[0]) for line in out.splitlines()
            if len(line.split()) >= 2]


def exported_names():
    text = re.search(r"global:(.*?)local:", MAP.read_text(), re.S).group(1)
    return set(re.findall(r"(\w+);", text))


def plain_env():
    return {k: v for k, v in os.environ.items()
            if not k.startswith("STILLFRAME_") and k != "LD_PRELOAD"}


class TlsServer(harness.Server):
    """A server with a certificate of its own, trusted by this test's requests."""

    def __init__(self, folder):
        self.cert, self.tls_key = folder / "cert.pem", folder / "key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1",
                        "-keyout", str(self.tls_key), "-out", str(self.cert)], check=True,
                       capture_output=True)
        context = ssl.create_default_context(cafile=str(self.cert))
        urllib.request.install_opener(
            urllib.request.build_opener(urllib.request.HTTPSHandler(context=context)))
        super().__init__(args=["--tls-cert", str(self.cert), "--tls-key", str(self.tls_key)])

    def start(self):
        super().start()
        self.url = f"https://127.0.0.1:{self.port}"

    def healthy(self, port):
        try:
            with urllib.request.urlopen(f"https://127.0.0.1:{port}/healthz", timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, ConnectionError, OSError):
            return False


class StaticHostTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="sf-static-")
        cls.folder = pathlib.Path(cls.scratch.name)
        cls.source = HERE / "static_host" / "host.cc"
        cls.line = next(n for n, text in enumerate(cls.source.read_text().splitlines(), 1)
                        if "// mark-work" in text)
        cls.object = cls.folder / "host.o"
        subprocess.run([CXX, "-std=c++20", "-O0", "-g", "-fPIE", "-I", str(INCLUDE), "-c",
                        str(cls.source), "-o", str(cls.object)], check=True)
        cls.hosts = {"dynamic": cls.link("dynamic", AGENT_FLAGS + DYNAMIC),
                     "agent last": cls.link("last", DYNAMIC + AGENT_FLAGS),
                     "archives": cls.link("archives", AGENT_FLAGS + STATIC),
                     "archives first": cls.link("first", STATIC + AGENT_FLAGS)}
        cls.without = {"dynamic": cls.link("without", DYNAMIC),
                       "archives": cls.link("without-archives", STATIC)}
        cls.without["agent last"] = cls.without["dynamic"]
        cls.without["archives first"] = cls.without["archives"]

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    @classmethod
    def link(cls, name, libraries):
        out = cls.folder / name
        subprocess.run([CXX, "-o", str(out), str(cls.object), *libraries, "-pthread"], check=True)
        return out

    def run_host(self, host, env):
        done = subprocess.run([str(host)], env=env, capture_output=True, text=True, timeout=60)
        # The only thing that may differ is the file's own name, which is not printed.
        return done.returncode, done.stdout, done.stderr

    def test_archive_defines_the_api_only(self):
        defined = {name for kind, name in symbols(ARCHIVE, "-g", "--defined-only")}
        self.assertEqual(defined, exported_names())
        # Unique and common symbols are process-wide whatever their visibility.
        self.assertEqual([s for s in symbols(ARCHIVE, "--defined-only") if s[0] in "uC"], [])

    def test_archive_needs_the_c_library_only(self):
        provided = {"_GLOBAL_OFFSET_TABLE_", "__dso_handle"}  # the linker, the start files
        for library in ("libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"):
            path = subprocess.run([CC, f"-print-file-name={library}"], capture_output=True,
                                  text=True, check=True).stdout.strip()
            provided |= {name for _, name in symbols(path, "-D", "--defined-only")}
        provided |= {"atexit", "pthread_atfork", "stat", "fstat"}  # libc_nonshared.a
        missing = {name for kind, name in symbols(ARCHIVE, "-u") if kind == "U"} - provided
        self.assertEqual({m for m in missing if not m.startswith("_ITM_")}, set())

    def test_hosts_get_no_other_global_symbol(self):
        for name in self.hosts:
            before = {n for k, n in symbols(self.without[name], "-g", "--defined-only")}
            after = {n for k, n in symbols(self.hosts[name], "-g", "--defined-only")}
            with self.subTest(host=name):
                # The C library's own start files may add theirs.
                self.assertEqual({n for n in after - before if not n.startswith("__")} -
                                 {"atexit", "stat", "fstat", "pthread_atfork"}, exported_names())

    def test_agent_off_changes_nothing(self):
        for name, host in self.hosts.items():
            with self.subTest(host=name):
                expected = self.run_host(self.without[name], plain_env())
                self.assertEqual(expected[0], 7)
                for part in ("capstone 0 bx", "http2 1", "file 0", "openssl cleans up"):
                    self.assertIn(part, expected[1])
                self.assertEqual(self.run_host(host, plain_env()), expected)

    def test_file_mode(self):
        for name, host in self.hosts.items():
            with self.subTest(host=name):
                expected = self.run_host(self.without[name], plain_env())
                done, snapshots = harness.run_with_file(
                    host, [{"location": {"file": "host.cc", "line": self.line},
                            "condition": "value == 900"}],
                    env={"LD_PRELOAD": "", "STILLFRAME_LIMITS": UNLIMITED}, check=False)
                self.assertEqual((done.returncode, done.stdout), expected[:2], done.stderr)
                self.assertEqual(len(snapshots), 1)
                frame = snapshots[0]["frames"][0]
                self.assertEqual(frame["line"], self.line)
                self.assertEqual(harness.variable(frame, "sum")["value"], "2703")

    def test_server_over_tls(self):
        """The private OpenSSL speaks to the server; the program's own is as it would be without."""
        server = TlsServer(self.folder)
        try:
            agent_key = server.key("agent")
            status, made = server.call("POST", "/v1/services/static/tracepoints",
                                       {"location": {"file": "host.cc", "line": self.line},
                                        "limits": {"maxHits": 2}})
            self.assertEqual(status, 201, made)
            for name in ("dynamic", "archives"):
                env = dict(plain_env(), STILLFRAME_SERVER=server.url, STILLFRAME_SERVICE="static",
                           STILLFRAME_API_KEY=agent_key, STILLFRAME_CA_FILE=str(server.cert),
                           STILLFRAME_START_WAIT="20s", STILLFRAME_LIMITS=UNLIMITED)
                with self.subTest(host=name):
                    self.assertEqual(self.run_host(self.hosts[name], env),
                                     self.run_host(self.without[name], plain_env()))
            snapshots = harness.wait_for("two snapshots", lambda: self.at_least(server, 2))
            self.assertEqual({s["frames"][0]["line"] for s in snapshots}, {self.line})
        finally:
            server.stop()

    @staticmethod
    def at_least(server, count):
        found = server.call("GET", "/v1/snapshots?service=static")[1]["snapshots"]
        return found if len(found) >= count else None

    def test_program_in_c(self):
        """No C++ library is needed, with either linker."""
        source = self.folder / "plain.c"
        source.write_text('#include <stdio.h>\n#include "stillframe/stillframe.h"\n'
                          "int main(void) { puts(stillframe_version()); return 0; }\n")
        for linker in ("bfd", "gold", "lld"):
            out = self.folder / f"plain-{linker}"
            with self.subTest(linker=linker):
                done = subprocess.run([CC, f"-fuse-ld={linker}", "-I", str(INCLUDE), str(source),
                                       "-o", str(out), *AGENT_FLAGS], capture_output=True,
                                      text=True)
                if "collect2" in done.stderr and "cannot find" in done.stderr:
                    continue  # this linker is not installed
                self.assertEqual(done.returncode, 0, done.stderr)
                needed = subprocess.run(["readelf", "-dW", str(out)], capture_output=True,
                                        text=True, check=True).stdout
                self.assertEqual(set(re.findall(r"NEEDED.*\[(.*)\]", needed)) -
                                 {"libc.so.6", "libm.so.6", "ld-linux-x86-64.so.2"}, set())
                ran = subprocess.run([str(out)], env=plain_env(), capture_output=True, text=True)
                self.assertEqual((ran.returncode, ran.stderr), (0, ""))

    def test_static_program_stays_as_it_is(self):
        """Without a loader libdw would crash the program: the agent refuses, the program runs."""
        source = self.folder / "alone.cc"
        source.write_text('#include <cstdio>\nint main() { std::puts("alone"); return 5; }\n')
        for flag in ("-static", "-static-pie"):
            out = self.folder / f"alone{flag}"
            subprocess.run([CXX, flag, "-fPIE", "-g", str(source), "-o", str(out), *AGENT_FLAGS],
                           check=True, capture_output=True)
            env = dict(plain_env(), STILLFRAME_SERVER=f"http://127.0.0.1:{harness.free_port()}",
                       STILLFRAME_START_WAIT="5s")
            with self.subTest(flag=flag):
                code, said, complaint = self.run_host(out, env)
                self.assertEqual((code, said), (5, "alone\n"))
                self.assertIn("-static", complaint)
                self.assertEqual(len(complaint.splitlines()), 1)

    def test_agent_code_is_told_apart(self):
        """The section whose ends tell the agent's code from the program's."""
        table = subprocess.run(["readelf", "-SW", str(self.hosts["dynamic"])], capture_output=True,
                               text=True, check=True).stdout
        self.assertEqual(len(re.findall(r"\bstillframe_text\b", table)), 1)
        names = {n for _, n in symbols(self.hosts["dynamic"], "--defined-only")}
        self.assertTrue({"__start_stillframe_text", "__stop_stillframe_text"} <= names)


if __name__ == "__main__":
    unittest.main()
