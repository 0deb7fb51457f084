"""DISTRIBUTION tracepoints: count, sum, extremes and buckets equal the program's own."""
import json
import re
import subprocess
import unittest

import harness


def bucket_of(magnitude, scale=2):
    """OpenTelemetry's index: the smallest i with magnitude <= 2^((i + 1) / 2^scale)."""
    index = -200
    while magnitude > 2 ** ((index + 1) / 2 ** scale):
        index += 1
    return index


class DistributionTest(unittest.TestCase):
    @classmethod
    def tearDownClass(cls):
        harness.cleanup_targets()

    def measure(self, expression, compiler="g++", level="-O2", rounds=1000, **more):
        program = harness.compile_target("measured.cc", compiler, (level, "-g"))
        line = harness.line_of("measured.cc", "mark-serve")
        done, snapshots = harness.run_with_file(
            program, [{"kind": "DISTRIBUTION", "location": {"file": "measured.cc", "line": line},
                       "expressions": [expression], **more}], args=[str(rounds)],
            env={"STILLFRAME_LOG": "info", "STILLFRAME_LIMITS": "cpuPercent=0"})
        self.assertEqual(snapshots, [])
        final, = re.findall(r"final (\{.*\})", done.stderr)
        truth = [[float(x) for x in line.split()] for line in done.stdout.splitlines()]
        return json.loads(final), truth

    def expect(self, status, truth, sites=1):
        distribution = status["distribution"]
        count, total, least, most = truth
        self.assertEqual(distribution["count"], count * sites)
        self.assertAlmostEqual(distribution["sum"], total * sites, places=6)
        self.assertEqual((distribution["min"], distribution["max"]), (least, most))
        counts = [*distribution["positive"].values(), *distribution["negative"].values(),
                  distribution["zeroCount"]]
        self.assertEqual(sum(counts), distribution["count"])
        counters = status["counters"]
        self.assertEqual(counters["captured"], distribution["count"])
        self.assertEqual(counters["acked"], counters["captured"])
        self.assertEqual(counters["hits"], counters["captured"] + counters["conditionFalse"] +
                         counters["conditionError"])

    def test_integers_and_floating_point(self):
        for compiler, level in (("g++", "-O0"), ("g++", "-O2"), ("clang++-14", "-O2")):
            with self.subTest(compiler=compiler, level=level):
                status, (of_bytes, of_seconds) = self.measure("request.bytes", compiler, level)
                self.expect(status, of_bytes)
                status, _ = self.measure("request.seconds", compiler, level)
                self.expect(status, of_seconds)
                status, _ = self.measure("request.seconds * 2 + request.bytes", compiler, level)
                self.assertAlmostEqual(status["distribution"]["sum"],
                                       of_seconds[1] * 2 + of_bytes[1], places=6)

    def test_buckets(self):
        status, _ = self.measure("request.bytes", rounds=500)
        expected = {"positive": {}, "negative": {}}
        zeros = 0
        for thread in range(4):
            for i in range(500):
                value = (i * 37 + thread) % 1000 - 200
                if value == 0:
                    zeros += 1
                    continue
                sign = "positive" if value > 0 else "negative"
                index = str(bucket_of(abs(value)))
                expected[sign][index] = expected[sign].get(index, 0) + 1
        distribution = status["distribution"]
        self.assertEqual(distribution["zeroCount"], zeros)
        self.assertEqual({k: distribution[k] for k in expected}, expected)

    def test_conditions_and_what_cannot_be_read(self):
        status, _ = self.measure("request.retries", condition="request.bytes > 0")
        self.assertEqual(status["distribution"]["max"], 6)
        self.assertGreater(status["counters"]["conditionFalse"], 0)
        status, _ = self.measure("next->bytes")
        self.assertEqual(status["counters"]["conditionError"], 400)
        self.assertEqual(status["distribution"]["count"], 3600)

    def test_what_is_no_number(self):
        status, _ = self.measure("request")
        self.assertEqual((status["state"], status["reason"]), ("ERROR", "BAD_EXPRESSION"))
        self.assertIn("'request' is no number but a const Request &", status["message"])
        status, _ = self.measure("requst.bytes")
        self.assertEqual(status["reason"], "UNKNOWN_VARIABLE")

    def test_max_hits(self):
        status, _ = self.measure("request.bytes", limits={"maxHits": 100})
        self.assertEqual(status["distribution"]["count"], 100)
        counters = status["counters"]
        self.assertEqual(counters["hits"], counters["captured"] + counters["rateLimited"])

    def test_over_the_server(self):
        server = harness.Server()
        self.addCleanup(server.stop)
        key = server.key("agent")
        program = harness.compile_target("measured.cc", "g++", ("-O2", "-g"))
        line = harness.line_of("measured.cc", "mark-serve")
        done = server.cli("set", f"measured.cc:{line}", "--distribution", "request.bytes",
                          "--service", "m")
        tracepoint = re.search(r"tp_\w+", done.stdout).group(0)
        subprocess.run([str(program), "2000"], check=True, capture_output=True, timeout=60,
                       env=server.agent_env(key, "m", STILLFRAME_START_WAIT="20s"))

        def whole():
            _, body = server.call("GET", f"/v1/tracepoints/{tracepoint}")
            agents = body.get("agents") or [{}]
            return agents[0].get("distribution", {}).get("count") == 8000
        harness.wait_for("the distribution", whole)
        shown = server.cli("show", tracepoint).stdout
        self.assertRegex(shown, r"count 8000 +sum \S+ +min -200 +p50 \S+ +p90 \S+ +p99 \S+ +max 799")


if __name__ == "__main__":
    unittest.main(verbosity=2)
