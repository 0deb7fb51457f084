"""Traps, where they are asked for and no jump fits."""
import subprocess
import unittest

import harness
import hosts
from hosts import NO_LIMITS, HostTest


class TrapsTest(HostTest):
    def setUp(self):
        self.program = harness.compile_target("trapped.cc")
        names = subprocess.run(["nm", self.program], capture_output=True, text=True,
                               check=True).stdout
        self.address = next("0x" + line.split()[0].lstrip("0") for line in names.splitlines()
                            if line.endswith(" trapped_site"))

    def wanted(self, **spec):
        return [{"id": "site", "kind": "COUNTER", "limits": NO_LIMITS,
                 "location": {"address": self.address, "module": self.program.name}, **spec}]

    def test_refused_unless_asked_for(self):
        outcome = hosts.run_with_agent([self.program], self.wanted(), last_words=True)
        self.assertEqual(outcome.stdout, "over\n", outcome.stderr[-2000:])
        self.assertEqual(outcome.final["site"]["reason"], "UNSAFE_SITE", outcome.final)

    def test_a_thread_that_blocks_the_signal_later_ends_it(self):
        outcome = hosts.run_with_agent([self.program], self.wanted(allowTrap=True),
                                       last_words=True)
        self.assertEqual((outcome.returncode, outcome.stdout), (0, "over\n"),
                         outcome.stderr[-2000:])
        final = outcome.final["site"]
        self.assertEqual((final["state"], final["reason"]), ("ERROR", "UNSAFE_SITE"), final)
        self.assertIn("blocks SIGTRAP", final["message"])
        # While it was armed it counted, and not a hit more.
        self.assertEqual(outcome.counters("site")["hits"], 1000, final)
        self.assertIn("blocks SIGTRAP", final["sites"][0]["reason"])
        self.check_identities(outcome, self.wanted())


if __name__ == "__main__":
    unittest.main(verbosity=2)
