#!/usr/bin/env python3
"""Fails when a file includes a header of a room that its own room may not use.

The rooms and directions are those of ARCHITECTURE.md. `check_rooms.py ROOT` checks another tree.
"""
import pathlib
import re
import sys

# Room -> rooms (or single headers) it may include. The longest matching folder is a file's room.
MAY_USE = {
    "include/stillframe": {"include/stillframe"},
    "src/base": {"src/base"},
    "src/plan": {"src/base", "src/plan"},
    "src/model": {"src/base", "src/model"},
    "src/symbolizer": {"src/base", "src/plan", "src/model", "src/symbolizer"},
    "src/transport": {"src/base", "src/model", "src/transport"},
    "src/debuginfod": {"src/base", "src/symbolizer", "src/transport", "src/debuginfod"},
    "src/server": {"src/base", "src/model", "src/server"},
    "src/cli": {"src/base", "src/model", "src/plan", "src/symbolizer", "src/cli",
                "src/agent/probe", "src/agent/next_instruction.h",
                "src/agent/function_exits.h", "src/agent/durable", "src/debuginfod"},
    # The hit path: these hold no code that would call anything else.
    "src/agent/ring": {"src/plan", "src/agent/ring", "src/base/status.h"},
    "src/agent/hit": {"src/plan", "src/agent/ring", "src/agent/hit", "src/base/status.h",
                      "src/base/address.h", "src/base/name_list.h", "src/agent/probe/arch"},
    "src/agent/probe/arch": {"src/base", "src/plan", "src/agent/probe", "src/agent/probe/arch",
                             "src/agent/hit", "src/agent/ring"},
    "src/agent/probe": {"src/base", "src/plan", "src/agent/probe", "src/agent/hit",
                        "src/agent/probe/arch"},
    "src/agent/decode": {"src/base", "src/plan", "src/model", "src/symbolizer",
                         "src/agent/decode", "src/agent/hit"},
    "src/agent/durable": {"src/base", "src/plan", "src/model", "src/symbolizer", "src/transport",
                          "src/agent/ring", "src/agent/decode", "src/agent/durable",
                          "src/agent/light_plan.h", "src/agent/loaded_modules.h",
                          "src/agent/log_message.h", "src/agent/policy.h",
                          "src/agent/thrown.h"},
    "src/agent/dw_stubs": {"src/base", "src/agent/dw_stubs"},
    "src/agent": {"src/base", "src/plan", "src/model", "src/symbolizer", "src/transport",
                  "src/debuginfod",
                  "src/agent", "src/agent/ring", "src/agent/hit", "src/agent/probe",
                  "src/agent/decode", "src/agent/durable", "src/agent/dw_stubs", "include/stillframe"},
}
# Libraries that belong to one room alone.
ONLY_IN = {
    r"curl/": ("src/transport", "src/cli"),
    r"capstone/": ("src/agent/probe/arch",),
    r"boost/": ("src/server",),
    r"sqlite3": ("src/server",),
    r"protozero/": ("src/transport",),
    r"google/protobuf|stillframe/v1/": ("src/server",),
    r"lzma": ("src/symbolizer",),
    r"elfutils/|libdw|dwarf\.h|gelf\.h|libelf": ("src/symbolizer", "src/agent/dw_stubs"),
}
# Only folders named for the architecture, and the one CMake list, may ask for it.
ARCH_MACRO = re.compile(r"^\s*#\s*(if|ifdef|elif).*__(x86_64|aarch64|i386|amd64)")
INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]')


def room_of(path):
    rooms = [r for r in MAY_USE if path.startswith(r + "/")]
    return max(rooms, key=len, default="")


def may_use(path):
    # The agent thread's side of the hit path and the ring may call the system through base.
    extra = {"src/base"} if path.endswith("_control.cc") else set()
    return MAY_USE.get(room_of(path), set()) | extra


def check_file(root, path):
    room = room_of(path)
    problems = []
    for number, line in enumerate((root / path).read_text(errors="replace").splitlines(), 1):
        where = f"{path}:{number}"
        if ARCH_MACRO.match(line) and "/arch" not in path:
            problems.append(f"{where}: asks for the architecture outside arch/")
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(1)
        for pattern, rooms in ONLY_IN.items():
            if re.match(pattern, name) and room not in rooms:
                problems.append(f"{where}: <{name}> belongs to {', '.join(rooms)}")
        for base in ("src", "include"):
            if (root / base / name).is_file():
                target = f"{base}/{name}"
                if not {target, room_of(target)} & may_use(path):
                    problems.append(f"{where}: {room} may not use {target}")
    return problems


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    problems = []
    count = 0
    for base in ("src", "include"):
        for path in sorted((root / base).rglob("*")):
            if path.suffix in (".cc", ".h", ".S", ".c", ".inc"):
                count += 1
                problems += check_file(root, str(path.relative_to(root)))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"rooms: {count} files, {len(problems)} wrong includes")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
