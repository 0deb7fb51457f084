"""Debug files from debuginfod servers: from the real one, and from those that fail in every way."""
import contextlib
import http.server
import os
import pathlib
import shutil
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request

import harness
from debug_files_test import HEADER, LIBRARY, LINE, MAIN

CLI = harness.BUILD / "bin/stillframe"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(answer, certificate=None):
    """A server whose GET handler is `answer(handler)`; gives its URL. With a certificate (a file that
    holds the key, too) by TLS."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                answer(self)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def status(code, **headers):
    def answer(handler):
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(b"not here" * 1000)
    return answer


def body(content, pause=0.0):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Type", "application/octet-stream")
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        third = len(content) // 3 + 1
        for at in range(0, len(content), third):
            handler.wfile.write(content[at:at + third])
            time.sleep(pause)
    return answer


def huge(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", str(1 << 40))
    handler.end_headers()
    handler.wfile.write(b"\x7fELF" * 1000)


class DebuginfodTest(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-debuginfod-"))
        self.addCleanup(shutil.rmtree, self.folder)
        for name, text in (("order.h", HEADER), ("library.cc", LIBRARY), ("main.cc", MAIN)):
            (self.folder / name).write_text(text)
        self.cache = self.folder / "cache"
        self.kept = self.folder / "kept"
        self.kept.mkdir()
        self.build("-O1")

    def run_in(self, *command):
        subprocess.run(command, cwd=self.folder, check=True, timeout=120, stderr=subprocess.DEVNULL)

    def build(self, level, debug="program.debug"):
        """A stripped program that knows no more than its build-id."""
        self.run_in("g++", level, "-g", "library.cc", "main.cc", "-o", "program")
        self.run_in("objcopy", "--only-keep-debug", "program", f"kept/{debug}")
        self.run_in("strip", "-s", "program")

    def build_id(self):
        notes = subprocess.run(["readelf", "-n", "program"], cwd=self.folder, check=True,
                               capture_output=True, text=True).stdout
        return notes.split("Build ID: ")[1].split()[0]

    def debug_file(self):
        return (self.kept / "program.debug").read_bytes()

    def settings(self, urls):
        return {"STILLFRAME_DEBUGINFOD_URLS": urls, "STILLFRAME_DEBUGINFOD_CACHE": str(self.cache)}

    def hit(self, urls, **env):
        done, snapshots = harness.run_with_file(
            self.folder / "program", [{"location": {"file": "library.cc", "line": LINE}}],
            env={**self.settings(urls), **env})
        self.assertEqual(done.stdout, "33\n")
        return done.stderr, snapshots

    def assert_full(self, urls):
        said, snapshots = self.hit(urls)
        self.assertEqual(len(snapshots), 1, said)
        frame, caller = snapshots[0]["frames"][:2]
        self.assertEqual(frame["function"], "Handle(Order const&, int)")
        self.assertEqual(harness.variable(frame, "order.items.[2]")["value"], "3")
        self.assertEqual(harness.variable(caller, "order.id")["value"], "7")
        return said

    def assert_refused(self, urls, *texts):
        said, snapshots = self.hit(urls)
        self.assertEqual(snapshots, [])
        for text in ("NO_DEBUG_INFO", "/debuginfo", *texts):
            self.assertIn(text, said)
        # Nothing of it stays.
        self.assertEqual([path for path in self.cache.rglob("*") if path.is_file()], [])
        return said

    @contextlib.contextmanager
    def real_server(self):
        port = free_port()
        with open(self.folder / "server.log", "wb") as log:
            server = subprocess.Popen(
                ["debuginfod", "-F", "-p", str(port), "-d", str(self.folder / "index.sqlite"),
                 str(self.kept)], stdout=log, stderr=log,
                env={**os.environ, "DEBUGINFOD_URLS": "", "HOME": str(self.folder)})
        try:
            build_id = self.build_id()
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + 60
            while True:  # until it has looked into the folder
                try:
                    urllib.request.urlopen(f"{url}/buildid/{build_id}/debuginfo", timeout=5).close()
                    break
                except (urllib.error.URLError, OSError):
                    self.assertLess(time.monotonic(), deadline,
                                    (self.folder / "server.log").read_text(errors="replace"))
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()
            server.wait(timeout=30)

    def test_the_real_server(self):
        with self.real_server() as url:
            said = self.assert_full(url)
            self.assertIn(f"is being fetched from {url}", said)
        files = [path for path in self.cache.rglob("*") if path.is_file()]
        self.assertEqual([path.read_bytes() for path in files], [self.debug_file()])
        self.assertEqual(stat.S_IMODE(files[0].stat().st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(self.cache.stat().st_mode), 0o700)
        # What was fetched once is there without the server.
        self.assertNotIn("is being fetched", self.assert_full(url))

    def test_what_dwz_has_moved_out_is_fetched_as_well(self):
        self.build("-O1", "other.debug")
        self.run_in("dwz", "-m", "kept/common.debug", "kept/program.debug", "kept/other.debug")
        with self.real_server() as url:
            self.assert_full(url)
        self.assertEqual(len([path for path in self.cache.rglob("*.debug")]), 2)
        self.assert_full(url)  # without the server
        shutil.rmtree(self.cache)
        (self.kept / "common.debug").unlink()
        debug = self.debug_file()
        def alone(handler):
            (body(debug) if self.build_id() in handler.path else status(404))(handler)
        with serving(alone) as url:
            said, snapshots = self.hit(url)
        self.assertEqual(snapshots, [])
        self.assertIn("answers 404", said)
        self.assertIn("NO_DEBUG_INFO", said)

    def test_the_command_line(self):
        def variables(**env):
            return subprocess.run(
                [CLI, "variables", "program", f"library.cc:{LINE}"], cwd=self.folder, timeout=60,
                capture_output=True, text=True,
                env={**os.environ, "STILLFRAME_DEBUGINFOD_CACHE": str(self.cache), **env})
        with self.real_server() as url:
            done = variables(DEBUGINFOD_URLS=url)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("const Order &", done.stdout)
        shutil.rmtree(self.cache)
        done = variables(DEBUGINFOD_URLS=url)
        self.assertEqual(done.returncode, 1)
        self.assertIn(url, done.stderr)
        self.assertEqual(variables().returncode, 1)

    def test_the_next_server_is_asked(self):
        with serving(status(404)) as first, serving(body(self.debug_file())) as second:
            self.assert_full(f"{first} {second}/")

    def test_a_server_that_is_down(self):
        self.assert_refused(f"http://127.0.0.1:{free_port()}", "connect")

    def test_answers_that_are_no_file(self):
        for code in (404, 500, 403):
            with self.subTest(code=code), serving(status(code)) as url:
                self.assert_refused(url, f"answers {code}")

    def test_redirects_are_not_followed(self):
        with serving(body(self.debug_file())) as other:
            with serving(status(302, Location=f"{other}/file")) as url:
                self.assert_refused(url, "answers 302")

    def test_certificates_are_verified(self):
        certificate = self.folder / "server.pem"
        self.run_in("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-keyout", "key.pem", "-out", "certificate.pem", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1")
        certificate.write_text((self.folder / "key.pem").read_text() +
                               (self.folder / "certificate.pem").read_text())
        with serving(body(self.debug_file()), certificate) as url:
            self.assert_refused(url, "certificate")
            said, snapshots = self.hit(
                url, STILLFRAME_CA_FILE=str(self.folder / "certificate.pem"))
            self.assertEqual(len(snapshots), 1, said)

    def test_bodies_that_are_no_debug_file(self):
        with serving(body(b"<html>welcome</html>" * 5000)) as url:
            self.assert_refused(url, "is refused", "no debug file")
        debug = self.debug_file()
        with serving(body(debug[:len(debug) // 2])) as url:
            self.assert_refused(url, "is refused")
        with serving(body((self.folder / "program").read_bytes())) as url:  # stripped itself
            self.assert_refused(url, "is refused", "no .debug_info")

    def test_another_builds_file(self):
        self.build("-O2", "other.debug")
        with serving(body(self.debug_file())) as url:  # of the build before
            self.assert_refused(url, "is refused", "build-id")

    def test_a_body_that_is_cut_off(self):
        def cut(handler):
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            handler.wfile.write(b"\x7fELF" * 100)
        with serving(cut) as url:
            self.assert_refused(url)

    def test_a_huge_body(self):
        with serving(huge) as url:
            self.assert_refused(url, "more than 2048 MiB")

    def test_a_slow_server(self):
        with serving(body(self.debug_file(), pause=0.7)) as url:
            self.assert_full(url)

    def test_a_slow_server_does_not_hold_up_the_program_for_longer_than_it_may(self):
        def silent(handler):
            time.sleep(6)
        with serving(silent) as url:
            before = time.monotonic()
            said, snapshots = self.hit(url, STILLFRAME_START_WAIT="1s")
            self.assertLess(time.monotonic() - before, 5.5)
        self.assertEqual(snapshots, [])
        self.assertIn("PENDING", said)
        self.assertIn("is being fetched", said)
        self.assertEqual([path for path in self.cache.rglob("draft-*")], [])

    def test_nothing_is_asked_unless_it_is_wanted(self):
        asked = []
        def answer(handler):
            asked.append(handler.path)
            status(404)(handler)
        with serving(answer) as url:
            done, _ = harness.run_with_file(
                self.folder / "program", [{"location": {"file": "library.cc", "line": LINE}}],
                env={"DEBUGINFOD_URLS": url})
            self.assertEqual(done.stdout, "33\n")
            self.assertIn("NO_DEBUG_INFO", done.stderr)
            self.assertEqual(asked, [])
            self.hit(url)
        # The program first, everything once, and libraries of the system not at all: only the one that
        # the harness preloads.
        self.assertEqual(asked[0], f"/buildid/{self.build_id()}/debuginfo")
        self.assertLessEqual(len(asked), 2)
        self.assertEqual(len(set(asked)), len(asked))

    def test_folders_of_others_are_not_trusted(self):
        self.cache.mkdir()
        self.cache.chmod(0o777)
        with serving(body(self.debug_file())) as url:
            said, snapshots = self.hit(url)
        self.assertEqual(snapshots, [])
        for text in ("NO_DEBUG_INFO", str(self.cache), "others may write to it",
                     "STILLFRAME_DEBUGINFOD_CACHE"):
            self.assertIn(text, said)

    def test_bad_values_are_named(self):
        for name, value in (("STILLFRAME_DEBUGINFOD_URLS", "ftp://host"),
                            ("STILLFRAME_DEBUGINFOD_URLS", "http://user@host"),
                            ("STILLFRAME_DEBUGINFOD_CACHE", "relative")):
            with self.subTest(name=name, value=value):
                done, snapshots = harness.run_with_file(
                    self.folder / "program", [{"location": {"file": "library.cc", "line": LINE}}],
                    env={name: value})
                self.assertEqual((done.stdout, snapshots), ("33\n", []))
                self.assertIn(name, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
