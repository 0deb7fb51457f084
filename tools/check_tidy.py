#!/usr/bin/env python3
"""Fails when the clang-tidy checks in force are not the intended ones.

A typo in .clang-tidy disables checks silently; so those that must be on, and those that must be
off, are asked of clang-tidy itself.
"""
import subprocess
import sys

MUST_BE_ON = {
    "bugprone-use-after-move", "bugprone-dangling-handle", "bugprone-infinite-loop",
    "bugprone-sizeof-expression", "clang-analyzer-core.NullDereference",
    "clang-analyzer-cplusplus.NewDelete", "misc-unused-parameters",
    "performance-unnecessary-copy-initialization", "performance-for-range-copy",
    "readability-container-size-empty", "readability-redundant-string-cstr",
    "modernize-use-nullptr", "modernize-use-override",
}
MUST_BE_OFF = {"bugprone-easily-swappable-parameters", "bugprone-narrowing-conversions",
               "performance-no-int-to-ptr"}
LEAST = 120


def main():
    text = subprocess.run(["clang-tidy-14", "--list-checks", "src/base/status.cc", "--"],
                          capture_output=True, text=True, check=True).stdout
    enabled = {line.strip() for line in text.splitlines()[1:] if line.strip()}
    missing = MUST_BE_ON - enabled
    extra = MUST_BE_OFF & enabled
    if missing or extra or len(enabled) < LEAST:
        print(f"clang-tidy: missing {sorted(missing)}, unwanted {sorted(extra)}, "
              f"{len(enabled)} enabled", file=sys.stderr)
        return 1
    print(f"clang-tidy: {len(enabled)} checks enabled, as intended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
