"""GDB: fast tracepoints by its in-process agent, and a breakpoint with a false condition."""
import os
import pathlib
import re

from peers import Peer
from session import FEW_BURST, LINE, Session, Skip, private_copy, require

IN_PROCESS_AGENT = pathlib.Path("/usr/lib/libinproctrace.so")
WITNESSES = 10


class GdbRow(Peer):
    def _start(self, program, folder, script):
        require("gdb", "gdb")
        path = folder / "script.gdb"
        path.write_text("set confirm off\nset pagination off\nset debuginfod enabled off\n"
                        "set breakpoint pending off\n" + script)
        return Session(folder, ["gdb", "-nx", "-batch", "-x", str(path), str(program)],
                       append_pipes=False)


class FastTracepoint(GdbRow):
    """Whether it collects is shown by hits that it must see: all, or ten witnesses with the id that
    makes the condition true."""

    def __init__(self, name, condition="", collect="", **burst):
        super().__init__(name)
        self.condition = condition
        self.collect = collect
        self.burst = burst

    def start(self, programs, folder):
        require("gdbserver", "gdbserver")
        if not IN_PROCESS_AGENT.exists():
            raise Skip(f"{IN_PROCESS_AGENT} is not there (package gdbserver)")
        program = private_copy(programs["base"], folder)
        actions = f"actions\ncollect {self.collect}\nend\n" if self.collect else ""
        script = (f"target remote | gdbserver --wrapper env LD_PRELOAD={IN_PROCESS_AGENT} -- - "
                  f"{program} {folder}/in {folder}/out\n"
                  "break main\ncontinue\ndelete\nbreak sfbench_end\n"
                  f"ftrace work_probed.cc:{LINE}{self.condition}\n{actions}"
                  "set trace-buffer-size 268435456\ntstart\ncontinue\n"
                  "tstop\ninfo tracepoints\ntstatus\nkill\n")
        session = self._start(program, folder, script)
        if "Fast tracepoint" not in session.said():
            session.kill()
            raise Skip(f"GDB refuses: {session.said().strip().splitlines()[-1]}")
        return session

    def finish(self, session):
        expected = session.total
        if self.condition:
            session.ask(f"hit {WITNESSES} -1")
            expected = WITNESSES
        session.quit()
        found = re.search(r"Collected (\d+) trace frames", session.said())
        collected = int(found.group(1)) if found else None
        full = "the buffer was full" in session.said()
        if full and not self.condition:
            return f"kept {100 * (collected or 0) / expected:.3g} %: its buffer filled"
        assert collected == expected, f"{self.name}: collected {collected}, expected {expected}\n" \
            + session.said()[-1500:]
        return f"{collected} frames collected" + (" of 10 witnesses" if self.condition else "")


class Breakpoint(GdbRow):
    """The program stops at every hit: wall time, because the thread's own clock stops too."""
    clock = "wall"
    burst = {"burst_us": 3_000, "max_hits": 20}

    def start(self, programs, folder):
        program = private_copy(programs["base"], folder)
        script = (f"set args {folder}/in {folder}/out\n"
                  f"break work_probed.cc:{LINE} if id == -1\n"
                  "commands\nsilent\nprintf \"witness\\n\"\ncontinue\nend\n"
                  "break sfbench_end\nrun\nkill\n")
        return self._start(program, folder, script)

    def finish(self, session):
        session.ask(f"hit {WITNESSES} -1")
        session.quit()
        seen = session.said().count("witness")
        assert seen == WITNESSES, f"{self.name}: {seen} witnesses\n{session.said()[-1000:]}"
        return f"{seen} of {WITNESSES} witnesses seen; wall time"


def rows():
    five = "id, count, price, *name._M_dataplus._M_p@18, order->quantity"
    return [
        FastTracepoint("GDB fast tracepoint, false condition", condition=" if id == -1"),
        FastTracepoint("GDB fast tracepoint, five locals", collect=five, **FEW_BURST),
        Breakpoint("GDB breakpoint, false condition"),
    ]
