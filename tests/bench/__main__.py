"""Measures what a VM start pays: `make bench`.

All figures are ratios of medians within one run, because absolute times are the machine's. Each bar is printed beside
what was measured, and a missed one makes the exit status 1.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import daemon
from tests.daemon import ROOT, SAMPLES

BENCH = Path(__file__).parent
PASSES = 4
ROUNDS = 100
PYTHON_ROUNDS = 10
EVENT = "before_device_create"
VM_ID = "7a9c4a0e-6d1f-4a57-9a55-3a9f2d0f5b11"
RULE = """
[rewrite r{0}]
hook = site
events = before_device_create
when = property mode equals m{0}
xpath = /interface/model
set type = e1000
"""


@dataclass(frozen=True)
class Figure:
    """One row of the table: a ratio and the bar that it has to keep."""

    name: str
    value: float
    bar: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{self.name:<68}  {self.value:8.2f}  {sign} {self.bar:<6g}  {'met' if self.met else 'MISSED'}"


def main() -> int:
    # In memory, where it can be: on ext4 a rename over a file starts a write to the disk, which would be timed too.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hookd-bench-", dir=memory) as name:
        clock = Clock(Path(name))
        figures = [*against_others(clock), growth(clock)]
    print("\n".join(str(figure) for figure in figures))
    return 0 if all(figure.met for figure in figures) else 1


def against_others(clock: Clock) -> list[Figure]:
    """The shim beside a program that does nothing, and beside a script that does the same."""
    with daemon.running(clock.folder, quiet=True) as sandbox:
        shim, plain = shlex.join(sandbox.shim(EVENT, "extnet")), str(BENCH / "plain_hook.py")
        without = {**os.environ, "LIBVIRT_DEFAULT_URI": sandbox.uri, "_hook_domxml": str(clock.document)}
        wanted = {**without, "extnet": "glitter", "vmId": VM_ID}
        # In passes, so that a machine that changes its pace does so under all of them.
        for _ in range(PASSES):
            clock.time("idle", ROUNDS, without, [clock.empty, shim])
            clock.time("busy", ROUNDS, wanted, [clock.empty, shim])
            clock.time("plain", PYTHON_ROUNDS, wanted, [plain])
    idle, busy, (script,) = clock.medians("idle"), clock.medians("busy"), clock.medians("plain")
    print(f"medians: empty static program {busy[0]:.0f} µs, shim {busy[1]:.0f} µs,", end=" ")
    print(f"plain Python hook {script / 1000:.1f} ms; {PASSES} passes, the first two interleaved")
    return [
        Figure("shim without the property ÷ empty static program", idle[1] / idle[0], 1.15),
        Figure("shim, extnet rewrite of the sample ÷ empty static program", busy[1] / busy[0], 4),
        Figure("plain Python hook ÷ shim, the same rewrite", script / busy[1], 100, at_least=True),
    ]


def growth(clock: Clock) -> Figure:
    """A request that matches no rule, with 1000 rules and networks against one of each, passes in turn."""
    for _ in range(PASSES):
        for count in (1, 1000):
            networks = "".join(f"<network><name>n{number}</name></network>" for number in range(count))
            with daemon.running(
                clock.folder, quiet=True, more_networks=networks, more_rules="".join(map(RULE.format, range(count)))
            ) as sandbox:
                asked = {**os.environ, "_hook_domxml": str(clock.document), "mode": "none", "vmId": VM_ID}
                clock.time(f"{count} rules", ROUNDS, asked, [shlex.join(sandbox.shim(EVENT, "site"))])
    (one,), (thousand,) = clock.medians("1 rules"), clock.medians("1000 rules")
    return Figure("a request that matches no rule: 1000 rules and networks ÷ 1 of each", thousand / one, 2)


class Clock:
    """Times programs with spawn.c, each on a fresh copy of the sample interface."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.document = folder / "domxml"
        self.empty = str(folder / "empty")
        self._spawn = str(folder / "spawn")
        self._walls: dict[tuple[str, int], list[float]] = defaultdict(list)
        # The shim's own libc and link flags: the empty program is what any static program costs at the least.
        linker = subprocess.run(
            ["make", "--no-print-directory", "-s", "-C", str(ROOT / "shim"), "linker"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        subprocess.run([*linker, "-O2", "-s", "-o", self.empty, str(BENCH / "empty.c")], check=True)
        subprocess.run(["gcc", "-O2", "-o", self._spawn, str(BENCH / "spawn.c")], check=True)

    def time(self, name: str, rounds: int, environment: Mapping[str, str], programs: Sequence[str]) -> None:
        """Run the programs in turn, and keep their wall times in µs. Raises RuntimeError if one fails."""
        command = [self._spawn, str(rounds), str(SAMPLES / "interface.xml"), str(self.document), *programs]
        lines = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=True).stdout
        for line in lines.splitlines():
            program, wall, _cpu, _memory, status = (int(field) for field in line.split())
            if status != 0:
                raise RuntimeError(f"{programs[program]} exited {status}")
            self._walls[name, program].append(wall / 1000)

    def medians(self, name: str) -> list[float]:
        """The median wall time of each program under this name, in µs."""
        return [statistics.median(walls) for (kept, _program), walls in self._walls.items() if kept == name]


if __name__ == "__main__":
    sys.exit(main())
