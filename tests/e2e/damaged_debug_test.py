"""A process whose separate debug file is cut off, bit-flipped or overwritten in many seeded ways: what
the host prints and how it ends never changes, and the agent says what it could not do."""
import json
import os
import pathlib
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

import harness

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "fuzz" / "seeds"))
import bombs  # noqa: E402

ROUNDS = int(os.environ.get("STILLFRAME_DAMAGE_ROUNDS", "120"))
# What is said of files that are made to cost time and memory; None: they are read.
BOMBS = {
    "abbrev_attributes": "has more than 1024 attributes",
    "unit_attributes": "has more than 1024 attributes",
    "deep_functions": "nests its entries too deep",
    "deep_scopes": "nests its entries too deep",
    "siblings_into_children": "whose sibling is inside it",
    "ranges": "too many ranges of addresses",
    "zlib_bomb": "claims an absurd size",
    "zstd_bomb": "claims an absurd size",
    "same_bytes_often": "its sections claim more than it can hold",
    "section_names": None,
    "long_expressions": None,
    "locations": None,
    "variables": None,
    "holds_itself": None,
    "members_double": None,
    "array_2_63": None,
    "line_rows": None,
    "cfi_remember_rows": None,
}
MARKS = {"mark-checkout": "order.items.size() + 1", "mark-inlined": "part * weight"}


def sections(data):
    """(name, offset, size) of what has contents in the file; the section table's own place first."""
    table, = struct.unpack_from("<Q", data, 40)
    entry_size, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * entry_size)
               for i in range(count)]
    texts = headers[names][4]
    found = [("table", table, entry_size * count)]
    for name, kind, _, _, offset, size, *_ in headers:
        text = data[texts + name:data.index(b"\0", texts + name)].decode()
        if kind not in (0, 8) and size > 0 and text != ".note.gnu.build-id":
            found.append((text, offset, size))
    return found


def damage(sound, seed):
    """The file, damaged; and how."""
    rng = random.Random(seed)
    data = bytearray(sound)
    if seed % 6 == 0:
        size = rng.randrange(len(data))
        return data[:size], f"cut off at {size}"
    places = sections(sound)
    debug = [place for place in places if place[0].startswith(".debug")]
    name, offset, size = rng.choice(places if seed % 6 == 1 else debug)
    end = min(offset + size, len(data))
    if seed % 6 == 2:  # a piece of zeros or ones, as a full disk leaves
        start = rng.randrange(offset, end)
        length = min(end - start, 4096)
        data[start:start + length] = bytes([rng.choice((0, 255))]) * length
        return data, f"{length} bytes of {name} overwritten"
    if seed % 6 == 3:  # another section's bytes
        _, other, other_size = rng.choice(debug)
        length = min(size, other_size, 2048)
        data[offset:offset + length] = sound[other:other + length]
        return data, f"{length} bytes of {name} from elsewhere"
    count = rng.choice((1, 8, 64, 512))
    for _ in range(count):
        data[rng.randrange(offset, end)] ^= 1 << rng.randrange(8)
    return data, f"{count} bits of {name}"


class DamagedDebugTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-damaged-"))
        cls.program = cls.folder / "damaged"
        built = harness.compile_target("damaged.cc", extra=("-Wl,--build-id=sha1",))
        shutil.copy(built, cls.program)
        debug = cls.folder / "sound.debug"
        subprocess.run(["objcopy", "--only-keep-debug", cls.program, debug], check=True)
        subprocess.run(["strip", "-s", cls.program], check=True)
        subprocess.run(["objcopy", f"--add-gnu-debuglink={debug}", cls.program], check=True)
        cls.sound = debug.read_bytes()
        symbols = subprocess.run(["nm", "-SC", debug], capture_output=True, text=True, check=True)
        start, size = re.search(r"(\w+) (\w+) T shop::Checkout\(", symbols.stdout).groups()
        cls.checkout = int(start, 16), int(start, 16) + int(size, 16)
        debug.unlink()  # the one beside the program would be found first
        text = subprocess.run(["readelf", "-n", cls.program], capture_output=True, text=True,
                              check=True).stdout
        build_id = re.search(r"Build ID: ([0-9a-f]+)", text).group(1)
        cls.build_id = bytes.fromhex(build_id)
        cls.debug_file = cls.folder / "debug" / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"
        cls.debug_file.parent.mkdir(parents=True)
        cls.expected = subprocess.run([cls.program], capture_output=True, text=True, check=False)
        wanted = [{"id": mark, "location": {"file": "damaged.cc",
                                            "line": harness.line_of("damaged.cc", mark)},
                   "expressions": [text]}
                  for mark, text in MARKS.items()]
        wanted += [{"id": "function", "location": {"function": "shop::Checkout"}},
                   {"id": "thrown", "location": {"exception": "std::out_of_range"}}]
        (cls.folder / "wanted.json").write_text(json.dumps({"tracepoints": wanted}))
        del wanted[0]["expressions"]
        (cls.folder / "line.json").write_text(json.dumps({"tracepoints": wanted[:1]}))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def run_host(self, debug_bytes, wanted="wanted.json"):
        """The finished process and its snapshots."""
        self.debug_file.write_bytes(debug_bytes)
        output = self.folder / "out"
        output.unlink(missing_ok=True)
        env = {**os.environ, "LD_PRELOAD": str(harness.AGENT), "STILLFRAME_LOG": "info",
               "STILLFRAME_TRACEPOINTS": str(self.folder / wanted),
               "STILLFRAME_OUTPUT": str(output), "STILLFRAME_START_WAIT": "20s",
               "STILLFRAME_DEBUG_PATH": str(self.folder / "debug"), "STILLFRAME_LIMITS":
               "snapshotsPerSecond=0,cpuPercent=0"}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([self.program], env=env, capture_output=True, text=True, timeout=60,
                              check=False, errors="replace")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return done, output.read_text().splitlines() if output.exists() else []

    def check_host(self, done, how):
        self.assertEqual(done.stdout, self.expected.stdout, f"{how}: {done.stderr}")
        self.assertEqual(done.returncode, self.expected.returncode, f"{how}: {done.stderr}")
        strange = [line for line in done.stderr.splitlines() if not line.startswith("stillframe: ")]
        self.assertEqual(strange, [], how)

    def test_sound_file(self):
        done, snapshots = self.run_host(self.sound)
        self.check_host(done, "sound")
        seen = {json.loads(line)["tracepointId"] for line in snapshots}
        self.assertEqual(seen, {*MARKS, "function", "thrown"}, done.stderr)

    def test_damaged_files(self):
        taken = 0
        for seed in range(ROUNDS):
            data, how = damage(self.sound, seed)
            done, snapshots = self.run_host(data)
            self.check_host(done, f"seed {seed}, {how}")
            for line in snapshots:
                json.loads(line)
            taken += bool(snapshots)
            # Each tracepoint is armed or says why not.
            for mark in MARKS:
                self.assertRegex(done.stderr, rf"tracepoint {mark}: [A-Z]+", f"seed {seed}, {how}")
        # Most damage is local: else the test is about files that nobody reads.
        self.assertGreater(taken, ROUNDS // 4)

    def test_bombs(self):
        low, high = self.checkout
        for name, reason in BOMBS.items():
            with self.subTest(name):
                data = bombs.make(name, low, high, source="/src/damaged.cc", function="Checkout",
                                  line=harness.line_of("damaged.cc", "mark-checkout"),
                                  build_id=self.build_id)
                done, snapshots = self.run_host(data, "line.json")
                self.check_host(done, name)
                said = [line for line in done.stderr.splitlines()
                        if "tracepoint mark-checkout: " in line]
                if reason is not None:
                    self.assertIn(reason, said[0])
                    self.assertEqual(snapshots, [])
                else:
                    self.assertNotIn("ERROR", said[0])
                    self.assertEqual(json.loads(snapshots[0])["frames"][0]["function"][:8],
                                     "Checkout")
                self.assertLess(self.seconds, 3, done.stderr)


if __name__ == "__main__":
    unittest.main()
