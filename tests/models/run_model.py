#!/usr/bin/env python3
"""Checks a Promela model exhaustively, and its broken variants, which must fail.

  run_model.py MODEL.pml

The variants are those of VARIANTS below: what is defined, and either PASS, or FAIL with the text of
the assertion that must be the one violated. A model that cannot fail is worthless, and so is one
whose interesting states are never reached: variants named REACH_… assert that they are not.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

PASS = None
VARIANTS = {
    "patch": [
        ("PUN THREADS=3", PASS),
        ("ALIGNED THREADS=3", PASS),
        ("GUARDED", PASS),
        ("ALIGNED BYTEWISE", "runs_whole"),
        ("GUARDED NO_GUARD", "runs_whole"),
        ("GUARDED NO_SYNC_1", "runs_whole"),
        ("GUARDED NO_SYNC_2", "runs_whole"),
        ("GUARDED SYNC_DIES", "runs_whole"),
        ("GUARDED FOREIGN", PASS),
        ("GUARDED FOREIGN ONE_ATTEMPT", "waits_for_ever"),
        ("PUN REACH_NEW", "runs_new"),
        ("GUARDED REACH_NEW", "runs_new"),
        ("GUARDED REACH_GUARD", "runs_guard"),
        ("GUARDED REACH_ROLLBACK", "written"),
    ],
    "ring": [
        ("WRITERS=3", PASS),
        ("WRITERS=2 RECORDS=2", PASS),
        ("EARLY_READY", "whole"),
        ("EARLY_FREE", "whole"),
        ("PLAIN_CLAIM", "holder"),
        ("PLAIN_READY", "taken_before"),
        ("KEEP_READY", "taken_before"),
        ("REACH_FULL", "slot"),
        ("REACH_TAKEN", "taken"),
        ("REACH_DEATH", "may_die"),
    ],
    "quiescence": [
        ("SLOTS=2", PASS),
        ("SLOTS=1", PASS),
        ("SLOTS=1 THREADS=2 HITS=2 LISTS=3", PASS),
        ("NO_BARRIER THREADS=2", "freed"),
        ("ONE_TURN SLOTS=1 THREADS=2 LISTS=3", "freed"),
        ("EPOCH_FIRST THREADS=2", "freed"),
        ("CLEAR_FIRST", "freed"),
        ("CLEAR_FIRST HITS_CLAIM_DEAD THREADS=2 SLOTS=1", "freed"),
        ("CHECK_FIRST", "freed"),
        ("HITS_CLAIM_DEAD", "freed"),
        ("REACH_USE_AFTER_REPLACE THREADS=2", "list"),
        ("REACH_DEAD_IN_HIT THREADS=2", "announced"),
        ("REACH_END", "freed"),
        ("REACH_UNSLOTTED SLOTS=1", "slot"),
    ],
}
SECONDS = 300  # of one search, which takes about four on a quiet machine


def run(command, folder):
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS)


def verify(model, defines, folder):
    """Returns (assertion violated or None, complete search?, states)."""
    flags = [f"-D{word}" for word in defines.split()]
    made = run(["spin", "-a", *flags, str(model)], folder)
    if made.returncode != 0 or "Error" in made.stdout:
        sys.exit(f"{model.name}: spin: {made.stdout}{made.stderr}")
    built = run(["cc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=2000", "-o", "pan",
                 "pan.c"], folder)
    if built.returncode != 0:
        sys.exit(f"{model.name}: cc: {built.stderr}")
    said = run(["./pan", "-E", "-m2000000"], folder).stdout
    errors = re.search(r"errors: (\d+)", said)
    violated = re.search(r"pan:1: (.*?) \(at depth", said)
    states = re.search(r"([\d.e+]+) states, stored", said)
    complete = "max search depth too small" not in said and "aborted" not in said \
        and "Search not completed" not in said
    if errors is None:
        sys.exit(f"{model.name}: no verdict: {said[-1000:]}")
    if (int(errors.group(1)) == 0) != (violated is None):
        sys.exit(f"{model.name}: strange verdict: {said[-1000:]}")
    return (violated.group(1) if violated else None, complete,
            states.group(1) if states else "?")


def main():
    model = pathlib.Path(sys.argv[1]).resolve()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="sf-model-") as folder:
        for defines, expected in VARIANTS[model.stem]:
            violated, complete, states = verify(model, defines, folder)
            if expected is PASS:
                good = violated is None and complete
            else:
                good = violated is not None and violated.startswith("assertion violated") \
                    and expected in violated
            verdict = "holds" if violated is None else f"fails: {violated}"
            print(f"{'ok   ' if good else 'WRONG'} {defines}: {verdict}; {states} states"
                  + ("" if complete or violated else ", search not complete"))
            wrong += not good
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
