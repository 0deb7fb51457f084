"""Locations that optimizing compilers write now and then, put into a program's assembly: each test has
them whatever the compiler at hand makes of its source."""
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

LIT0, STACK_VALUE, PIECE = 0x30, 0x9f, 0x93
LOCATIONS = {
    # Clang, of what memset clears: the number is narrower than the object.
    "cleared": [LIT0, STACK_VALUE],
    "mixed": [LIT0, STACK_VALUE, PIECE, 16, LIT0 + 7, STACK_VALUE, PIECE, 8],
    # What the upper half would be, nothing says.
    "unknown": [LIT0 + 1, STACK_VALUE, PIECE, 16, LIT0 + 9, STACK_VALUE, PIECE, 8],
}


def with_locations(assembly):
    """The text of `g++ -S -dA` with LOCATIONS in place of where the variables are."""
    lines = assembly.split("\n")
    longer = 0
    for name, expression in LOCATIONS.items():
        named = next(n for n, line in enumerate(lines)
                     if re.search(rf'DW_AT_name: "{name}"|"{name}\\0"\t# DW_AT_name', line))
        place = next(n for n in range(named, named + 12) if lines[n].endswith("# DW_AT_location"))
        assert "DW_OP_fbreg" in lines[place + 1] and ".sleb128" in lines[place + 2], lines[place:]
        longer += len(expression) - int(lines[place].split()[1], 16)
        lines[place:place + 3] = [f"\t.byte\t{byte}" for byte in [len(expression), *expression]]
    unit = next(n for n, line in enumerate(lines) if "Length of Compilation Unit Info" in line)
    lines[unit] = f"\t.long\t{int(lines[unit].split()[1], 16) + longer:#x}"
    return "\n".join(lines)


class LocationsTest(unittest.TestCase):
    def test_numbers_that_are_narrower_than_their_object(self):
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sf-locations-"))
        self.addCleanup(shutil.rmtree, folder)
        subprocess.run(["g++", "-S", "-g", "-gdwarf-5", "-O0", "-dA", "-o",
                        folder / "in.s", harness.TARGETS / "locations.cc"], check=True)
        (folder / "out.s").write_text(with_locations((folder / "in.s").read_text()))
        subprocess.run(["g++", "-o", folder / "locations", folder / "out.s"], check=True)
        line = harness.line_of("locations.cc", "mark-look")
        done, snapshots = harness.run_with_file(
            folder / "locations", [{"id": "look", "location": {"file": "locations.cc",
                                                              "line": line}}])
        self.assertEqual(len(snapshots), 1, done.stderr)
        frame = snapshots[0]["frames"][0]

        def value(path):
            found = harness.variable(frame, path)
            return found.get("value") if found["status"] == "EXACT" else found["reason"]
        parts = ("first", "second", "third")
        self.assertEqual([value(f"cleared.{part}") for part in parts], ["0", "0", "0"])
        self.assertEqual([value(f"mixed.{part}") for part in parts], ["0", "0", "7"])
        self.assertEqual([value(f"unknown.{part}") for part in parts],
                         ["UNSUPPORTED_LOCATION", "UNSUPPORTED_LOCATION", "9"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
