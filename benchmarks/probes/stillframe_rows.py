"""Stillframe through the product itself: the agent preloaded, tracepoints from a file."""
import json
import os
import pathlib
import re
import time

from session import FEW_BURST, LINE, NoFigure, ROOT, Session, Skip, private_copy

BUILD = pathlib.Path(os.environ.get("STILLFRAME_BUILD", ROOT / "build" / "release"))
AGENT = BUILD / "lib" / "libstillframe.so"
LIFTED = "snapshotsPerSecond=0,cpuPercent=0"
# The most that a snapshot may have; what counts or logs may have no limit.
UNLIMITED = {"maxHits": 1_000_000_000, "perSecond": 10_000, "perTrace": 0}
NO_LIMITS = {"maxHits": 0, "perSecond": 0, "perTrace": 0}
# What a hit with the id 7777 has to show: id, count, the name's text, quantity, price; and its trace.
WITNESS_ID = 7777
WITNESS = [r"\b7777\b", r"\b23331\b", r"a customer's name", r"\b5\b", r"\b7777(\.0*)?\b"]
PAUSE_BEFORE_WITNESS_S = 0.2  # so that the buffers have room for it
WITNESS_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
FALSE_ID = "id == -1"


def tracepoint(kind="SNAPSHOT", limits=None, **fields):
    return {"id": "row", "kind": kind, "location": {"file": "work_probed.cc", "line": LINE},
            "limits": limits or (UNLIMITED if kind == "SNAPSHOT" else NO_LIMITS), **fields}


class StillframeRow:
    clock = "cpu"

    def __init__(self, name, spec, target=None, kept=False, limits=LIFTED, values=0, **burst):
        self.name = name
        self.spec = spec
        self.target = target
        self.kept = kept            # every hit should become a record
        self.limits = limits
        self.values = values        # how many of WITNESS a record must hold
        self.burst = burst
        self.stack_bytes = None

    def start(self, programs, folder):
        if not AGENT.exists():
            raise Skip(f"{AGENT} is not built")
        program = private_copy(programs["base"], folder)
        wanted = folder / "tracepoints.json"
        wanted.write_text(json.dumps({"tracepoints": [self.spec]}))
        env = {k: v for k, v in os.environ.items() if not k.startswith("STILLFRAME_")}
        env.update(LD_PRELOAD=str(AGENT), STILLFRAME_TRACEPOINTS=str(wanted),
                   STILLFRAME_OUTPUT=str(folder / "out.jsonl"), STILLFRAME_START_WAIT="20s",
                   STILLFRAME_LIMITS=self.limits, STILLFRAME_LOG="info")
        session = Session(folder, [str(program)], env)
        refused = re.search(r"tracepoint row: (ERROR.*)|STILLFRAME_TRACEPOINTS \S+: (.*)",
                            session.said())
        if refused or "tracepoint row: ARMED" not in session.said():
            session.kill()
            why = (refused.group(1) or refused.group(2)) if refused else "no word of being armed"
            raise Skip(f"the agent refuses: {why}")
        return session

    def finish(self, session):
        """Hits as the agent counted them must be the loop's; returns the note for the table."""
        if "condition" in self.spec:
            self.stack_bytes = session.ask("stack")["stack_bytes"]
        if self.values > 0:
            (session.folder / "out.jsonl").write_text("")
            time.sleep(PAUSE_BEFORE_WITNESS_S)
            session.ask(f"hit 1 {WITNESS_ID}")
        session.quit()
        last = session.said().rpartition("tracepoint row at exit:")[2]
        counted = {name: int(count) for name, count in re.findall(r"([\w.]+)=(\d+)", last)}
        assert counted.get("hits") == session.total, \
            f"{self.name}: the agent counted {counted}, the loop {session.total}"
        parts = ("conditionFalse", "conditionError", "rateLimited", "budgetStopped", "reentrant",
                 "ringFull", "unsafeContext", "captured")
        assert sum(counted.get(p, 0) for p in parts) == counted["hits"], f"{self.name}: {counted}"
        shares = [f"{p} {100 * counted[p] / counted['hits']:.3g} %" for p in parts if p in counted]
        if self.kept and counted.get("captured", 0) < 0.95 * counted["hits"]:
            shares.insert(0, "NOT THE TARGET'S FIGURE, too few became records")
        self._check_witness(session.folder / "out.jsonl")
        return ", ".join(shares)

    def _check_witness(self, output):
        if self.values == 0:
            return
        lines = output.read_text().splitlines()
        record = json.loads(lines[-1]) if lines else {}
        shown = json.dumps({k: record.get(k) for k in ("message", "expressions", "frames")})
        missing = [text for text in WITNESS[:self.values] if not re.search(text, shown)]
        if missing or record.get("trace", {}).get("traceId") != WITNESS_TRACE or \
                "time" not in record:
            raise NoFigure(f"hits became records, but a record lacks {missing or 'trace or time'}")


def rows():
    five = ("id={id} count={count} price={price} name={name} quantity={order->quantity}")
    return [
        StillframeRow("counter only", tracepoint("COUNTER"), target=3),
        StillframeRow("false condition, integer local", tracepoint(condition=FALSE_ID), target=10),
        StillframeRow("false condition, behind one pointer",
                      tracepoint(condition="order->quantity == -1"), target=15),
        StillframeRow("false condition, behind two pointers",
                      tracepoint(condition="order->customer->tier == -1"), target=15),
        StillframeRow("false condition, .size() of a vector",
                      tracepoint(condition="order->items.size() == 99"), target=15),
        StillframeRow("32-byte record with time stamp",
                      tracepoint("LOG", logMessage="id={id}"), target=25, kept=True,
                      values=1, **FEW_BURST),
        StillframeRow("five locals, time stamp, trace context",
                      tracepoint("LOG", logMessage=five), target=100, kept=True,
                      values=5, **FEW_BURST),
        StillframeRow("snapshot, rate limited (1 a second)",
                      tracepoint(limits={"maxHits": 1_000_000, "perSecond": 1}),
                      limits="cpuPercent=0"),
        StillframeRow("snapshot, limits lifted (all captured)", tracepoint(), kept=True,
                      max_hits=8, pause_us=40_000),
    ]
