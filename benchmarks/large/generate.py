"""Makes a program with a lot of debug information, quickly: one unit is compiled, and its object is
cloned with other names of the same length, so that no clone shares a symbol, type name or file name
with another. Everything in it is what the compiler wrote; GDB reads it like any program.

  generate.py FOLDER [UNITS]     FOLDER/large, from UNITS clones (default 1,020)"""
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
NAME = b"unit_00000"
FLAGS = ["-std=c++20", "-O2", "-g"]


def compile_unit(source, out):
    # In its folder, so that the debug information names no folder of this tree.
    subprocess.run(["g++", *FLAGS, "-c", source.name, "-o", str(out)], check=True,
                   cwd=source.parent)


def clone(original, number, out):
    name = b"unit_%05d" % number
    out.write_bytes(original.replace(NAME, name))


def linker():
    """The program for -fuse-ld=, or none: LLVM's needs a tenth of the time."""
    return ["-fuse-ld=lld"] if shutil.which("ld.lld") or shutil.which("ld.lld-14") else []


def generate(folder, units):
    folder.mkdir(parents=True, exist_ok=True)
    unit, service = folder / "unit.o", folder / "service.o"
    compile_unit(HERE / "unit_00000.cc", unit)
    compile_unit(HERE / "service.cc", service)
    original = unit.read_bytes()
    unit.unlink()
    objects = []
    for number in range(units):
        objects.append(folder / f"unit_{number:05}.o")
        clone(original, number, objects[-1])
    # Last, so that who reads units in order comes to it last.
    rsp = folder / "objects.rsp"
    rsp.write_text("\n".join(map(str, [*objects, service])))
    subprocess.run(["g++", *linker(), "-Wl,--build-id=sha1", "-pthread", f"@{rsp}", "-o",
                    str(folder / "large")], check=True)
    for path in [*objects, service, rsp]:
        path.unlink()
    return folder / "large"


def main():
    generate(pathlib.Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1020)


if __name__ == "__main__":
    main()
