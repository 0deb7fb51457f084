"""What GDB shows of a program at chosen addresses, and which of it the program has not determined."""
import json
import os
import pathlib
import subprocess
import tempfile

import undetermined

HERE = pathlib.Path(__file__).resolve().parent
# Complementary, so that each bit differs; written alike, so that the environment is as long.
PATTERNS = ("0xa5", "0x5a")
TIMEOUT_S = 1200
SHIFT_BYTES = 5000  # more than small chunks that were freed at start can give


def heap_shift(folder):
    """A library that moves the program's heap: the low bytes of a pointer differ, and with them what
    a union shows of it in other members."""
    library = os.path.join(folder, "shift.so")
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], check=True, text=True,
                   input="#include <stdlib.h>\nvoid* kept;\n__attribute__((constructor)) "
                         f"static void shift(void) {{ kept = malloc({SHIFT_BYTES}); }}\n")
    return library


class Gdb:
    """Runs a program under GDB in a fresh folder that holds the files it wants.

    Where GDB itself falls (an internal error), it is asked again without that address, which `fell_at`
    holds then. RuntimeError with GDB's own words when it ends in another way.
    """

    def __init__(self, binary, args=(), files=None):
        self.binary, self.args, self.files = str(binary), list(args), files or {}
        self.fell_at = set()

    def shows(self, addresses, environment=(), pattern="", entries=None, randomize=False,
              follows="1"):
        """{address: frames at its first hit}. Of each environment item "NAME=VALUE"."""
        with tempfile.TemporaryDirectory() as folder:
            for name, text in self.files.items():
                pathlib.Path(folder, name).write_text(text, encoding="utf-8")
            out, wanted = os.path.join(folder, "gdb.json"), os.path.join(folder, "entries.json")
            pathlib.Path(wanted).write_text(json.dumps(entries or {}), encoding="utf-8")
            env = dict(os.environ, SF_PCS=",".join(addresses), SF_OUT=out, SF_ENTRIES=wanted,
                       SF_ARGS=" ".join(self.args), SF_RANDOMIZE="on" if randomize else "",
                       SF_ENVIRONMENT=json.dumps(environment), SF_PATTERN=pattern,
                       SF_SYNTHETIC=follows)
            done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
                                   "-x", str(HERE / "gdb_frames.py"), self.binary],
                                  env=env, cwd=folder, capture_output=True, text=True,
                                  timeout=TIMEOUT_S, check=False)
            if os.path.exists(out):
                with open(out, encoding="utf-8") as file:
                    return json.load(file)
            fell_at = pathlib.Path(out + ".at")
            fell_at = fell_at.read_text(encoding="utf-8") if fell_at.exists() else None
        if follows:  # GDB 13 may have fallen over what a synthetic pointer leads to
            return self.shows(addresses, environment, pattern, entries, randomize, "")
        rest = [address for address in addresses if address != fell_at]
        if len(rest) == len(addresses) or not rest:
            raise RuntimeError(done.stderr[-3000:])
        self.fell_at.add(fell_at)
        return self.shows(rest, environment, pattern, entries, randomize)

    def shows_marked(self, addresses):
        """The same with "undetermined" in what the program has not determined: two more runs, with
        a pattern in all memory that holds nothing."""
        base = self.shows(addresses)
        entries = {}
        for address, frames in base.items():
            for frame in frames:
                if frame.get("entry"):
                    entries.setdefault(frame["entry"], []).append(address)
        with_pattern = [self.shows(list(base), [f"GLIBC_TUNABLES=glibc.malloc.perturb={pattern}:"
                                                "glibc.malloc.tcache_count=0"], pattern, entries)
                        for pattern in PATTERNS]
        for address, frames in base.items():
            if all(address in run for run in with_pattern):
                undetermined.mark(frames, *(run[address] for run in with_pattern))
        return base

    def mark_by_other_places(self, shown):
        """Marks in `shown` what is part of an address, or of the allocator's own lists: one more run,
        at random addresses with another heap and another stack."""
        with tempfile.TemporaryDirectory() as folder:
            elsewhere = self.shows(list(shown), [
                "GLIBC_TUNABLES=glibc.malloc.tcache_count=0", "SF_PADDING=" + 1234 * "x",
                f"LD_PRELOAD={heap_shift(folder)}"], randomize=True)
        for address in shown.keys() & elsewhere.keys():
            undetermined.mark_address(shown[address], elsewhere[address])

    def values(self, queries):
        """The texts that gdb_values.py's queries ask for; None where GDB has no value."""
        with tempfile.TemporaryDirectory() as folder:
            asked, out = os.path.join(folder, "queries.json"), os.path.join(folder, "values.json")
            pathlib.Path(asked).write_text(json.dumps(queries), encoding="utf-8")
            done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off",
                                   "-x", str(HERE / "gdb_values.py"), self.binary],
                                  env=dict(os.environ, SF_QUERIES=asked, SF_OUT=out), cwd=folder,
                                  capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            if not os.path.exists(out):
                raise RuntimeError(done.stderr[-3000:])
            return json.loads(pathlib.Path(out).read_text(encoding="utf-8"))
