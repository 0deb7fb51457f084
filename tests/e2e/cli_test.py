"""The command line: its words, its exit codes, and what it prints, against real processes."""
import json
import os
import pty
import re
import subprocess
import tempfile
import pathlib
import socket
import threading
import unittest

import harness

SHOP = """\
#include <string>

struct Order {
  long id;
  std::string apiKey;
};

__attribute__((noinline)) long Total(const Order& order, int count) {
  const long base = order.id * 2;

  return base + count;
}

int main(int argc, char**) {
  const Order order{argc, "k"};
  return static_cast<int>(Total(order, 3)) == 0;
}
"""

LINES = """\
FOLDER/shop.cc
     8    1 address    Total(Order const&, int)
     9    2 addresses  Total(Order const&, int)
    11    1 address    Total(Order const&, int)
    12    1 address    Total(Order const&, int)
    14    1 address    main(int, char**)
    15    3 addresses  main(int, char**)
    16    3 addresses  main(int, char**)
    17    2 addresses  main(int, char**)
"""

VARIABLES = """\
0x…  Total(Order const&, int)
    order                     const Order &                             exact  memory
    count                     int                                       exact  memory
    base                      const long                                exact  memory
"""


def stillframe(*args, env=None):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("STILLFRAME_")}
    clean.update(env or {})
    return subprocess.run([str(harness.CLI), *args], capture_output=True, text=True, timeout=60,
                          env=clean)


class OfflineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="sf-cli-")
        root = pathlib.Path(cls.folder.name)
        (root / "shop.cc").write_text(SHOP)
        cls.program, cls.stripped = str(root / "shop"), str(root / "stripped")
        subprocess.run(["g++", "-std=c++20", "-O0", "-g", "-o", cls.program, root / "shop.cc"],
                       check=True)
        subprocess.run(["strip", "-s", "-o", cls.stripped, cls.program], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def text(self, *args, code=0):
        done = stillframe(*args)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        out = done.stdout.replace(self.folder.name, "FOLDER")
        return re.sub(r"0x[0-9a-f]+", "0x…", out)

    def test_lines(self):
        text = self.text("lines", self.program, "shop.cc")
        self.assertEqual("".join(line for line in text.splitlines(True) if "~Order" not in line),
                         LINES)
        one = json.loads(stillframe("lines", self.program, "shop.cc:11", "--output",
                                    "json").stdout)["lines"]
        self.assertEqual([line["line"] for line in one], [11])
        self.assertEqual(one[0]["functions"], ["Total(Order const&, int)"])

    def test_variables(self):
        self.assertEqual(self.text("variables", self.program, "shop.cc:11"), VARIABLES)
        site, = json.loads(stillframe("--output", "json", "variables", self.program,
                                      "shop.cc:11").stdout)["sites"]
        self.assertEqual([(v["name"], v["status"]) for v in site["frames"][0]["variables"]],
                         [("order", "EXACT"), ("count", "EXACT"), ("base", "EXACT")])

    def test_doctor(self):
        text = self.text("doctor", self.program)
        self.assertRegex(text, r"(?m)^build-id             [0-9a-f]{40}$")
        self.assertRegex(text, r"of which (9[0-9]|100)\.\d\d % can be probed without a trap")
        found = json.loads(stillframe("doctor", self.program, "--output", "json").stdout)
        self.assertEqual(found["debugInfo"], "OK")
        shares = found["probes"]
        self.assertEqual(sum(shares["methods"].values()), shares["probed"])
        self.assertEqual(shares["probed"] + sum(shares["refusals"].values()),
                         shares["statementAddresses"])
        self.assertIn("NO_DEBUG_INFO", self.text("doctor", self.stripped, code=1))

    def test_refusals(self):
        cases = [
            (("lines", self.program, "shop.cc:10"), 1,
             "LINE_HAS_NO_CODE: .*nearest lines with code: 9, 11"),
            (("lines", self.program, "shpo.cc"), 1, "FILE_NOT_FOUND: .*"),
            (("variables", self.program, "shop.cc:10"), 1, "LINE_HAS_NO_CODE: "),
            (("variables", self.program, "shop.cc"), 2, "'shop.cc' is not FILE:LINE"),
            (("variables", self.stripped, "shop.cc:11"), 1, "NO_DEBUG_INFO: "),
            (("lines", str(harness.TARGETS / "service.cc"), "a.cc"), 1, "not an ELF file"),
            (("doctor", "/no/such/file"), 1, "No such file"),
            (("doctor",), 2, "binary is required"),
            (("lines", self.program), 2, "place is required"),
            ((), 2, "subcommand is required"),
            (("frobnicate",), 2, "no command .frobnicate."),
            (("doctor", self.program, "--output", "xml"), 2, "--output"),
            (("set", "a.cc:1", "--count", "--log", "x"), 2, "excludes"),
            (("set", "a.cc:1", "--count", "--distribution", "x"), 2, "excludes"),
            (("set", "a.cc:0"), 2, "FILE:LINE"),
            (("set", "a.cc:1", "--expires", "soon"), 2, "lifetime"),
            (("set", "a.cc:1", "--wait", "--timeout", "-1"), 2, "--timeout"),
            (("snapshots", "--limit", "0"), 2, "--limit"),
            (("rm",), 2, "required"),
        ]
        for args, code, says in cases:
            with self.subTest(args=args):
                done = stillframe(*args)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertEqual(done.stdout, "")
                self.assertRegex(done.stderr, says)
        done = stillframe("lines", self.program, "shop.cc:10", "--output", "json")
        self.assertEqual(json.loads(done.stderr)["error"]["code"], "LINE_HAS_NO_CODE")

    def test_colour_only_on_a_terminal_and_never_with_no_color(self):
        def on_terminal(**env):
            master, slave = pty.openpty()
            base = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "TERM")}
            process = subprocess.Popen([str(harness.CLI), "variables", self.program, "shop.cc:11"],
                                       stdout=slave, env={**base, "TERM": "xterm", **env})
            os.close(slave)
            text = b""
            while True:
                try:
                    part = os.read(master, 65536)
                except OSError:  # the other side is closed
                    break
                if not part:
                    break
                text += part
            os.close(master)
            self.assertEqual(process.wait(timeout=30), 0)
            return text.decode()

        self.assertIn("\x1b[", on_terminal())
        self.assertNotIn("\x1b", on_terminal(NO_COLOR="1"))
        self.assertIn("\x1b[", on_terminal(NO_COLOR=""))
        self.assertNotIn("\x1b", on_terminal(TERM="dumb"))
        self.assertNotIn("\x1b", stillframe("variables", self.program, "shop.cc:11",
                                            env={"TERM": "xterm"}).stdout)


class OnlineTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = harness.Server(args=["--source", f"web={harness.TARGETS}"])
        cls.editor = cls.server.key("editor")
        cls.line = harness.line_of("service.cc", "mark-handle")
        program = harness.compile_target(
            "service.cc", flags=("-O2", "-g", f"-I{harness.SOURCE / 'include'}",
                                 f"-ffile-prefix-map={harness.SOURCE}=/built/elsewhere"))
        cls.process = subprocess.Popen(
            [str(program)], env=cls.server.agent_env(cls.server.key("agent"), "web",
                                                     STILLFRAME_VERSION="1.2"),
            stdout=subprocess.DEVNULL)
        harness.wait_for("the agent", lambda: cls.server.call(
            "GET", "/v1/services/web/agents")[1]["agents"])

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.wait(timeout=20)
        cls.server.stop()
        harness.cleanup_targets()

    def cli(self, *args, code=0, key=None):
        done = self.server.cli(*args, key=key or self.editor, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def json(self, *args, code=0):
        return json.loads(self.cli(*args, "--output", "json", code=code).stdout)

    def test_a_snapshot_with_code_from_the_server(self):
        place = f"service.cc:{self.line}"
        tracepoint = self.json("set", place, "--watch", "request.id", "--max-hits", "2",
                               "--expires", "30m", "--wait")
        self.assertEqual(tracepoint["expressions"], ["request.id"])
        self.assertEqual(tracepoint["limits"]["maxHits"], 2)
        self.assertEqual(tracepoint["limits"]["expiresIn"], "1800s")
        found = harness.wait_for("a snapshot", lambda: self.json(
            "snapshots", "--tracepoint", tracepoint["id"])["snapshots"])
        snapshot = self.json("snapshot", found[0]["id"])
        frame = snapshot["frames"][0]
        self.assertTrue(frame["file"].startswith("/built/elsewhere/"), frame["file"])
        at = [line for line in frame["source"] if line["line"] == self.line]
        self.assertIn("mark-handle", at[0]["text"])
        text = self.cli("snapshot", found[0]["id"]).stdout
        self.assertRegex(text, rf"▶ +{self.line} │ .*// mark-handle")
        self.assertRegex(text, r"watches\n  └─ request.id = \d+  long")
        self.assertRegex(text, r"apiKey  std::string  — redacted")
        self.assertIn("trace   4bf92f3577b34da6a3ce929d0e0e4736", text)
        self.assertEqual(self.json("rm", tracepoint["id"]), {"removed": [tracepoint["id"]]})

    def test_agents_show_what_the_agent_costs(self):
        self.cli("set", f"service.cc:{self.line}", "--max-hits", "1000", "--wait")

        def cost():
            agent = self.json("agents")["agents"][0]
            spent = agent["cost"]
            return spent["cpuSeconds"] > 0 and spent["rssBytes"] > 4096
        harness.wait_for("a cost", cost)
        heading, row = self.cli("agents").stdout.splitlines()
        self.assertTrue(heading.endswith("AGENT CPU  MEMORY"), heading)
        self.assertRegex(row, r"web .* 1\.2 .* \d+\.\d\d s +\d+\.\d MB$")
        self.assertRegex(self.cli("services").stdout, r"(?m)^web +1 ")

    def test_exit_codes(self):
        line = self.line
        refused = [
            (["set", "nowhere.cc:1", "--wait"], "FILE_NOT_FOUND"),
            (["set", "service.cc:2", "--wait"], "LINE_HAS_NO_CODE.*nearest"),
            (["set", f"service.cc:{line}", "--if", "reqest.id > 1", "--wait"],
             "UNKNOWN_VARIABLE.*near: request"),
            (["set", f"service.cc:{line}", "--if", "request.id >", "--wait"],
             "BAD_EXPRESSION.*column"),
            (["set", f"service.cc:{line}", "--max-hits", "0"], "limits.maxHits"),
            (["show", "tp_none"], "NOT_FOUND"),
            (["rm", "tp_none"], "NOT_FOUND"),
            (["snapshot", "sn_none"], "NOT_FOUND"),
            (["snapshots", "--since", "yesterday"], "since"),
        ]
        for args, says in refused:
            with self.subTest(args=args):
                self.assertRegex(self.cli(*args, code=1).stderr, says)
        error = json.loads(self.cli("show", "tp_none", "--output", "json", code=1).stderr)
        self.assertEqual(error["error"]["code"], "NOT_FOUND")
        self.assertIn("UNAUTHORIZED", self.cli("list", key="sfk_wrong", code=1).stderr)
        self.assertIn("UNAUTHORIZED", self.cli("tail", key="sfk_wrong", code=1).stderr)
        viewer = self.server.key("viewer")
        self.assertIn("FORBIDDEN", self.cli("set", "a.cc:1", "--service", "web", key=viewer,
                                            code=1).stderr)
        waits = self.cli("set", "a.cc:1", "--service", "nobody", "--wait", "--timeout", "0.2",
                         code=4)
        self.assertIn("no agent", waits.stderr)
        nobody = f"http://127.0.0.1:{harness.free_port()}"
        for command in (["list"], ["tail"], ["set", "a.cc:1"]):
            done = stillframe("--server", nobody, *command)
            self.assertEqual(done.returncode, 3, command)
            self.assertIn(nobody, done.stderr)
        self.assertEqual(stillframe("--server", "ftp://a", "list").returncode, 2)
        unknown = stillframe("lst")
        self.assertEqual(unknown.returncode, 2)
        self.assertIn("no command 'lst'", unknown.stderr)

    def test_server_and_key_come_from_the_environment(self):
        done = stillframe("services", env={"STILLFRAME_SERVER": self.server.url,
                                           "STILLFRAME_API_KEY": self.editor})
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("web", done.stdout)

    def test_tail_goes_on_after_a_server_that_hangs_up(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            asked = []
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"

            def serve():
                while len(asked) < 3:
                    connection, _ = listener.accept()
                    with connection:
                        request = connection.recv(65536).decode()
                        if "/v1/events" not in request:
                            connection.sendall(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")
                            continue
                        asked.append(re.findall(r"Last-Event-ID: (\S+)", request))
                        more = b"id: 8\nevent: snapshot\ndata: {\"id\":\"sn_1\"}\n\n"
                        connection.sendall(head + (b"id: 7\n\n" if len(asked) == 1 else more))

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            done = stillframe("--server", f"http://127.0.0.1:{listener.getsockname()[1]}", "tail",
                              "--count", "2", "--output", "json")
            thread.join(timeout=30)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, '{"id":"sn_1"}\n' * 2)
        self.assertEqual(asked, [[], ["7"], ["8"]])


if __name__ == "__main__":
    unittest.main(verbosity=2)
