"""Snapshots against what the program itself printed.

The project's own programs tell values where they have them: `TELL(a, b.c)` (tests/targets/e2e/truth.h)
prints a line `@told {"line": 12, "values": {"a": ["d", "5"], …}}` each time it runs. Two tracepoints
look at the same moment: one on the line of TELL, in whose innermost frame the names stand, and one in
a function that TELL calls, where they stand in a caller's frame. Every execution is compared, not only
the first.
"""
import collections
import json

import compare

TOLD = "@told "
# In truth.h: the line on which nothing but this happens.
CALLEE_MARK = "// mark-told"


def told_by(stdout):
    return [json.loads(line[len(TOLD):]) for line in stdout.splitlines() if line.startswith(TOLD)]


def tracepoints(source, header, lines):
    """One for each line with TELL, and one in the function that each of them calls."""
    mark = next(number for number, text in enumerate(header.read_text().splitlines(), 1)
                if CALLEE_MARK in text)
    limits = {"maxHits": 100000000, "perSecond": 10000, "perTrace": 0}
    places = {f"told:{line}": (source.name, line) for line in sorted(lines)}
    places["callee"] = (header.name, mark)
    return [{"id": id_, "location": {"file": file, "line": line}, "limits": limits,
             "capture": {"depth": 3, "frames": 16}} for id_, (file, line) in places.items()]


def find(variables, path):
    """By dotted path; a member that is named alone stands in `this`."""
    names = path.split(".")
    for start in ([], ["this"]):
        found, below = None, variables
        for name in start + names:
            found = next((v for v in below if v["name"] == name), None)
            if found is None:
                break
            below = found.get("children", [])
        if found is not None:
            return found
    return None


def same(kind, told, shown):
    """Kinds as truth.h prints them: d integers, c characters (as numbers), b, f and g floats of 4
    and 8 bytes (as C's %a), s texts."""
    if kind == "s":
        text = shown[shown.index('"'):] if shown.startswith("0x") and '"' in shown else shown
        return compare.same_text(text, json.dumps(told, ensure_ascii=False))
    if kind == "c":
        return shown.split(" ")[0] == told
    if kind in "fg":
        number = compare.as_number(shown)
        if number is None:
            return False
        if kind == "f":
            number = compare.as_float(number)
        return number == float.fromhex(told)
    return shown == told


class Truth:
    """Counts and differences of one program's run."""

    def __init__(self):
        self.counts = collections.Counter()
        self.wrong, self.absent, self.hits_differ = [], [], []

    def values(self, where, variables, told, query):
        """`query` is where GDB is asked for the same."""
        for name, (kind, value) in told["values"].items():
            found = find(variables, name)
            self.counts["told"] += 1
            if found is None or "value" not in found or found["status"] not in compare.SHOWN or \
                    kind == "s" and '"' not in found["value"]:
                self.absent.append((f"{where} {name}", found))
                continue
            self.counts["truths"] += 1
            if not same(kind, value, found["value"]):
                self.counts["wrong against truth"] += 1
                self.wrong.append({"where": f"{where} {name}", "ours": found["value"], "told": value,
                                   "query": {**query, "name": name}})

    def ask_gdb(self, gdb):
        """What differs because the compiler describes it so, GDB shows as we do."""
        if not self.wrong:
            return
        answers = gdb.values([wrong["query"] for wrong in self.wrong])
        for wrong, answer in zip(self.wrong, answers):
            wrong["gdb"] = answer
            if answer is not None and compare.same_scalar(wrong["ours"], answer):
                self.counts["as GDB"] += 1

    def run(self, stdout, snapshots):
        """All snapshots of one run, in order."""
        told = told_by(stdout)
        by_line = collections.defaultdict(list)
        for telling in told:
            by_line[telling["line"]].append(telling)
        seen = collections.defaultdict(list)
        for snapshot in snapshots:
            seen[snapshot["tracepointId"]].append(snapshot)
        if self.same_hits("callee", told, seen["callee"]):
            for hit, (telling, snapshot) in enumerate(zip(told, seen["callee"]), 1):
                self.caller(telling, snapshot, hit)
        for line, tellings in by_line.items():
            of_pc = collections.Counter()
            if self.same_hits(f"line {line}", tellings, seen[f"told:{line}"]):
                for telling, snapshot in zip(tellings, seen[f"told:{line}"]):
                    frame = snapshot["frames"][0]
                    of_pc[frame["pc"]] += 1
                    self.values(f"line {line}, sequence {telling['sequence']}, frame 0",
                                frame["variables"], telling,
                                {"pc": frame["pc"], "hit": of_pc[frame["pc"]], "outside": ""})

    def same_hits(self, where, tellings, snapshots):
        """Where not, it is not known which belongs to which."""
        self.counts["executions"] += len(tellings)
        self.counts["hits"] += len(snapshots)
        if len(tellings) != len(snapshots):
            self.hits_differ.append((where, len(tellings), len(snapshots)))
        return len(tellings) == len(snapshots)

    def caller(self, telling, snapshot, hit):
        """The frame below TELL's own; a function that ended by jumping there has no variables."""
        frames = snapshot["frames"]
        below = [i for i, frame in enumerate(frames)
                 if "truth::Tell<" in frame["function"] or "truth::TellTexts<" in frame["function"]]
        at = below[-1] + 1 if below else len(frames)
        if at < len(frames) and frames[at]["line"] == telling["line"] and \
                not compare.has_ended(frames[at]):
            self.counts["callers"] += 1
            self.values(f"line {telling['line']}, sequence {telling['sequence']}, caller",
                        frames[at]["variables"], telling,
                        {"pc": frames[0]["pc"], "hit": hit, "outside": "truth::"})
