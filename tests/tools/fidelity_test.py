#!/usr/bin/env python3
"""The comparison with GDB and with printed truth must tell errors from what no program determines."""
import copy
import json
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "benchmarks" / "fidelity"))
import compare  # noqa: E402
import truth  # noqa: E402
import undetermined  # noqa: E402


def frames(**variables):
    return [{"function": "f", "line": 5, "ended": False,
             "variables": {name: {"declared": 1, **node} for name, node in variables.items()}}]


def ours(**values):
    return [{"function": "f()", "line": 5, "inlined": False, "variables": [
        {"name": name, "status": "EXACT", "value": value} for name, value in values.items()]}]


def compared(snapshot, shown):
    result = compare.Comparison()
    result.snapshot("here", snapshot, shown)
    return result


class UndeterminedTest(unittest.TestCase):
    def marked(self, base, a, b):
        base = frames(x=base)
        undetermined.mark(base, frames(x=a), frames(x=b))
        return base[0]["variables"]["x"]

    def test_what_depends_on_the_pattern(self):
        node = self.marked({"value": "0"}, {"value": "-1515870811"}, {"value": "1515870810"})
        self.assertEqual(node["undetermined"], undetermined.PATTERN)
        # Null in the usual run, never in the others: only their difference tells.
        node = self.marked({"pointer": 0}, {"pointer": 0xa5a5}, {"pointer": 0x5a5a})
        self.assertEqual(node["undetermined"], undetermined.PATTERN)
        # A container that cannot be read in either.
        node = self.marked({"printer": "array", "children": []},
                           {"missing": "Cannot access memory at address 0xa5a5"},
                           {"missing": "Cannot access memory at address 0x5a5a"})
        self.assertEqual(node["undetermined"], undetermined.PATTERN)
        node = self.marked({"string": '"a"'}, {"skipped": True, "raw": "a5"},
                           {"skipped": True, "raw": "5a"})
        self.assertEqual(node["undetermined"], undetermined.PATTERN)

    def test_what_depends_on_addresses(self):
        node = self.marked({"value": "4096"}, {"value": "8192"}, {"value": "8192"})
        self.assertEqual(node["undetermined"], undetermined.ADDRESS)
        node = self.marked({"pointer": 4096}, {"pointer": 8192}, {"pointer": 8192})
        self.assertNotIn("undetermined", node)

    def test_only_the_part_that_differs(self):
        node = self.marked({"fields": {"a": {"value": "1"}, "b": {"value": "2"}}},
                           {"fields": {"a": {"value": "1"}, "b": {"value": "3"}}},
                           {"fields": {"a": {"value": "1"}, "b": {"value": "4"}}})
        self.assertNotIn("undetermined", node)
        self.assertNotIn("undetermined", node["fields"]["a"])
        self.assertEqual(node["fields"]["b"]["undetermined"], undetermined.PATTERN)

    def test_nothing_is_known_of_what_was_not_looked_at(self):
        self.assertNotIn("undetermined", self.marked({"value": "1"}, {"skipped": True},
                                                     {"skipped": True}))
        base, other = frames(x={"value": "1"}), frames(x={"value": "2"})
        other[0]["function"] = "g"
        undetermined.mark(base, other, other)
        self.assertNotIn("undetermined", base[0]["variables"]["x"])

    def test_an_error_is_not_hidden(self):
        base = frames(x={"value": "1"}, y={"value": "1"})
        same = copy.deepcopy(base)
        undetermined.mark(base, same, frames(x={"value": "1"}, y={"value": "2"}))
        result = compared(ours(x="7", y="7"), base)
        self.assertEqual([(w[0].split()[-1], w[1]) for w in result.wrong], [("x", "7")])
        self.assertEqual([u[0].split()[-1] for u in result.undetermined], ["y"])
        # Where ours agrees it is counted apart just so.
        result = compared(ours(x="1", y="1"), base)
        self.assertEqual((result.wrong, len(result.undetermined)), ([], 1))


class TruthTest(unittest.TestCase):
    TOLD = [{"sequence": n, "line": 9, "values": {"a": ["d", str(n)], "b.c": ["f", "0x1.99999ap-4"]}}
            for n in (1, 2)]

    def snapshot(self, id_, *values, float_="0.1"):
        variables = [{"name": "a", "status": "EXACT", "value": values[0]},
                     {"name": "b", "status": "EXACT", "children": [
                         {"name": "c", "status": "EXACT", "value": float_}]}]
        teller = {"function": "f()", "line": 9, "pc": "0x10", "variables": variables}
        if id_ != "callee":
            return {"tracepointId": id_, "frames": [teller]}
        tell = {"function": "void truth::Tell<int>(int)", "line": 69, "pc": "0x5", "variables": []}
        return {"tracepointId": id_, "frames": [tell, teller]}

    def run_of(self, *snapshots):
        result = truth.Truth()
        result.run("\n".join(["else", *(truth.TOLD + json.dumps(t) for t in self.TOLD)]), snapshots)
        return result

    def test_every_execution_is_compared(self):
        right = [self.snapshot(id_, str(n)) for n in (1, 2) for id_ in ("told:9", "callee")]
        result = self.run_of(*right)
        self.assertEqual((result.wrong, result.hits_differ, result.counts["truths"]), ([], [], 8))
        result = self.run_of(*right[:-1], self.snapshot("callee", "1"))
        self.assertEqual([(w["ours"], w["told"], w["query"]["hit"]) for w in result.wrong],
                         [("1", "2", 2)])
        result = self.run_of(*right[:-1], self.snapshot("callee", "2", float_="0.10000001"))
        self.assertEqual(len(result.wrong), 1)

    def test_a_missing_hit_is_told(self):
        result = self.run_of(*(self.snapshot("callee", str(n)) for n in (1, 2)),
                             self.snapshot("told:9", "2"))
        self.assertEqual(result.hits_differ, [("line 9", 2, 1)])
        self.assertEqual(result.wrong, [])  # it is not known which execution it was

    def test_kinds(self):
        for kind, told, shown in (("c", "65", "65 'A'"), ("c", "-1", "-1 '\\377'"), ("b", "true", "true"),
                                  ("g", "0x1p-1", "0.5"), ("s", "a\tb", '"a\\tb"'),
                                  ("s", "12", '0x55001122 "12"')):
            self.assertTrue(truth.same(kind, told, shown), (kind, told, shown))
        for kind, told, shown in (("c", "65", "66 'B'"), ("b", "true", "false"), ("g", "0x1p-1", "0.25"),
                                  ("s", "ab", '"ac"'), ("d", "1", "-1")):
            self.assertFalse(truth.same(kind, told, shown), (kind, told, shown))


if __name__ == "__main__":
    unittest.main()
