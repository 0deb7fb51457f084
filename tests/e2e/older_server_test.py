"""An agent that was told of tables, and meets a server that does not read them (a rolling upgrade)."""
import collections
import http.client
import http.server
import re
import subprocess
import threading
import unittest
import urllib.request

import services

TABLES = "application/x-protobuf-tables"


class Proxy(http.server.ThreadingHTTPServer):
    """Before a real server: what is older in it answers 415 to batches with tables."""
    daemon_threads = True

    def __init__(self, server):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind = server
        self.seen = collections.Counter()
        self.thread = threading.Thread(target=self.serve_forever, daemon=True)
        self.thread.start()

    def handle_error(self, request, client_address):
        """A poll that the agent cut short."""

    def stop(self):
        self.shutdown()
        self.server_close()
        self.thread.join()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers["Content-Type"]
        if self.path.endswith("/publish"):
            self.server.seen[kind] += 1
        if kind == TABLES:
            return self.answer(415, "text/plain", b"unsupported media type")
        behind = http.client.HTTPConnection("127.0.0.1", self.server.behind.port, timeout=70)
        try:
            behind.request("POST", self.path, body, dict(self.headers))
            answer = behind.getresponse()
            self.answer(answer.status, answer.headers["Content-Type"], answer.read())
        finally:
            behind.close()

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class OlderServerTest(services.ServiceTest):
    SOURCE = "requests.cc"
    MARK = "mark-serve"
    RUNS = 500  # what a thread's stream holds
    BATCHES = 4

    def test_what_is_refused_with_tables_is_sent_without(self):
        proxy = Proxy(self.server)
        self.addCleanup(proxy.stop)
        tracepoint = self.create(kind="LOG", logMessage="run {n}", limits={"maxHits": 10**9})
        env = self.server.agent_env(self.agent_key, "web", STILLFRAME_START_WAIT="20s",
                                    STILLFRAME_LIMITS="cpuPercent=0,logsPerSecond=0")
        env["STILLFRAME_SERVER"] = f"http://127.0.0.1:{proxy.server_port}"
        process = subprocess.Popen([str(self.program)], env=env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.end, process)
        for _ in range(self.BATCHES):
            self.send(process, self.RUNS)
        counters = self.settled(tracepoint)
        self.check_identities(counters)
        self.assertEqual(counters["hits"], self.RUNS * self.BATCHES)
        self.assertEqual(counters["dropped"], {})
        self.assertGreater(counters["acked"], self.RUNS // 2)
        self.assertEqual(counters["captured"], counters["acked"])
        self.assertGreater(proxy.seen[TABLES], 0, proxy.seen)
        self.assertGreater(proxy.seen["application/x-protobuf"], 0, proxy.seen)
        self.assertEqual(self.stored(), counters["acked"])

    def stored(self):
        with urllib.request.urlopen(self.server.url + "/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(r"^\w*snapshots_received_total (\d+)", text, re.MULTILINE)
        return int(found.group(1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
