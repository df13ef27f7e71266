"""Where the time of one request goes: `make breakdown` draws it for docs/performance.md.

The shim is built with a clock at the beginning and end of each function (trace.c), the daemon runs with one around
those that a request passes (traced_daemon.py); both read CLOCK_MONOTONIC, so that one request is one row of moments.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests import daemon
from tests.bench import chart
from tests.bench.figure import Time
from tests.bench.programs import BENCH, Programs, environment, static_linker
from tests.daemon import ROOT
from tests.vdsm import VM_ID

ROUNDS = 500
EXEC = "exec, and exit"
EVENT = "before_device_create"
_EVENT = struct.Struct("=3q")
_EVENTS = 256

# From one moment to the next: `shim` and `daemon` say whose, and a stage ends where the one after it begins.
STAGES = (
    ("which variables wake it", "shim", "is_woken ends"),
    ("lock and read the document", "shim", "daemon_request ends"),
    ("connect and send", "shim", "send_request ends"),
    ("the daemon wakes up, accepts", "daemon", "receive begins"),
    ("receive, and read the call", "daemon", "read ends"),
    ("find the rules", "daemon", "parse begins"),
    ("parse the XML", "daemon", "parse ends"),
    ("decide and rewrite", "daemon", "serialise begins"),
    ("serialise", "daemon", "serialise ends"),
    ("the reply, sent", "daemon", "drop begins"),
    ("the shim wakes up, receives", "shim", "receive_answer ends"),
    ("write and rename", "shim", "document_replace ends"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make breakdown", description="Draw where the time of a request goes.")
    parser.add_argument("--output", metavar="FILE", type=Path, default=ROOT / "build" / "breakdown.svg")
    parser.add_argument("--rounds", metavar="N", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hookd-breakdown-", dir=memory) as name:
        stages = measure(Path(name), arguments.rounds)
    for stage in stages:
        print(f"{stage.median:7.1f} µs  {stage.name}")
    arguments.output.parent.mkdir(exist_ok=True)
    arguments.output.write_text(
        chart.stages(stages, [EXEC, *(name for name, side, _moment in STAGES if side == "shim")])
    )
    return 0


def measure(folder: Path, rounds: int) -> list[Time]:
    """The median of each stage, in the order in which they follow each other."""
    shim, log, events = folder / "shim", folder / "shim.log", folder / "daemon.json"
    programs = Programs(folder)
    _build(shim, log)
    command = [sys.executable, "-m", "tests.bench.traced_daemon", str(events)]
    with daemon.running(folder, quiet=True, command=command) as sandbox:
        wanted = environment(extnet="glitter", vmId=VM_ID)
        (walls,) = programs.in_turn(rounds, wanted, [shlex.join([str(shim), *sandbox.shim(EVENT, "extnet")[1:]])])
    rows: dict[str, list[float]] = {EXEC: [], **{name: [] for name, _side, _moment in STAGES}}
    for run, of_shim, of_daemon in zip(walls, _shim_moments(shim, log), _daemon_moments(events)):
        moments = {"shim": of_shim, "daemon": of_daemon}
        before = of_shim["main begins"]
        rows[EXEC].append(run.wall - (of_shim["main ends"] - before) / 1000)
        for name, side, moment in STAGES:
            rows[name].append(max(0, moments[side][moment] - before) / 1000)
            before = max(before, moments[side][moment])
    return [Time(name, statistics.median(times)) for name, times in rows.items()]


def _build(shim: Path, log: Path) -> None:
    sources = [*sorted(map(str, (ROOT / "shim").glob("*.c"))), str(BENCH / "trace.c")]
    flags = ["-std=c11", "-D_GNU_SOURCE", '-DVERSION="traced"', f'-DTRACE="{log}"', "-O2", "-finstrument-functions"]
    flags.append("-finstrument-functions-exclude-function-list=now")  # called again and again while it waits
    subprocess.run([*static_linker(), *flags, "-o", str(shim), *sources], check=True)


def _shim_moments(shim: Path, log: Path) -> Iterator[dict[str, int]]:
    """The moments of each run, by function: the last time that it began and ended."""
    symbols = subprocess.run(["nm", str(shim)], capture_output=True, text=True, check=True).stdout.splitlines()
    names = {int(fields[0], 16): fields[2] for fields in map(str.split, symbols) if len(fields) == 3}
    data = log.read_bytes()
    for run in range(0, len(data), _EVENT.size * _EVENTS):
        moments = {}
        for function, leaves, at in _EVENT.iter_unpack(data[run : run + _EVENT.size * _EVENTS]):
            if at:
                moments[f"{names[function]} {'ends' if leaves else 'begins'}"] = at
        moments.setdefault("main ends", max(moments.values()))
        yield moments


def _daemon_moments(file: Path) -> Iterator[dict[str, int]]:
    """The moments of each hook call: those from one `receive begins` to the next, where the XML was parsed between."""
    moments: dict[str, int] = {}
    for name, at in [*json.loads(file.read_text()), ("receive begins", 0)]:
        if name == "receive begins":
            if "parse ends" in moments:
                yield moments
            moments = {}
        moments.setdefault(name, at)


if __name__ == "__main__":
    sys.exit(main())
