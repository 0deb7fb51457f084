#!/usr/bin/env python3
"""The check of include directions must pass a right tree and fail each kind of wrong one."""
import pathlib
import subprocess
import sys
import tempfile

CHECK = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_rooms.py"
GOOD = {
    "src/base/status.h": "#include <string>\n",
    "src/plan/plan.h": '#include "base/status.h"\n',
    "src/agent/hit/hit.h": '#include "plan/plan.h"\n#include "base/status.h"\n',
    "src/transport/client.cc": "#include <curl/curl.h>\n",
}
WRONG = {
    "base uses plan": ("src/base/a.h", '#include "plan/plan.h"\n'),
    "the hit path uses the logger": ("src/agent/hit/a.cc", '#include "base/log.h"\n'),
    "the symbolizer uses the agent": ("src/symbolizer/a.cc", '#include "agent/hit/hit.h"\n'),
    "the server sees libcurl": ("src/server/a.cc", "#include <curl/curl.h>\n"),
    "an architecture outside arch/": ("src/agent/a.cc", "#ifdef __x86_64__\n"),
    "a header of src/ in include/": ("include/stillframe/a.h", '#include "base/status.h"\n'),
}


def run(files):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {**GOOD, "src/base/log.h": "", **files}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return subprocess.run([sys.executable, str(CHECK), folder], capture_output=True).returncode


def main():
    failures = []
    if run({}) != 0:
        failures.append("a right tree is refused")
    for what, (path, text) in WRONG.items():
        if run({path: text}) == 0:
            failures.append(f"not noticed: {what}")
    print("\n".join(failures) or "ok")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
