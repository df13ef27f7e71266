"""The small C programs that measure, and what they print."""

from __future__ import annotations

import os
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.daemon import ROOT, SAMPLES

BENCH = Path(__file__).parent


class Run(NamedTuple):
    """One run of a program: times in µs."""

    wall: float
    cpu: float


class Programs:
    """spawn.c, load.c, and the programs that do nothing, in a folder of theirs."""

    def __init__(self, folder: Path) -> None:
        self.document = folder / "domxml"
        self.empty = str(folder / "empty")
        self.empty_dynamic = str(folder / "empty-dynamic")
        self._spawn = str(folder / "spawn")
        self._load = str(folder / "load")
        static = static_linker()
        for compiler, source, program in (
            (static, "empty.c", self.empty),
            (["gcc"], "empty.c", self.empty_dynamic),
            (static, "spawn.c", self._spawn),
            (["gcc"], "load.c", self._load),
        ):
            subprocess.run([*compiler, "-O2", "-s", "-o", program, str(BENCH / source)], check=True)

    def in_turn(
        self,
        rounds: int,
        environment: Mapping[str, str],
        programs: Sequence[str],
        fresh: Path = SAMPLES / "interface.xml",
    ) -> list[list[Run]]:
        """Each program's runs, in turn with the others. Raises RuntimeError when one fails."""
        return self._runs("in-turn", rounds, environment, programs, fresh)

    def at_once(self, rounds: int, environment: Mapping[str, str], program: str) -> list[Run]:
        """So many runs of one program, all at the same time."""
        return self._runs("at-once", rounds, environment, [program], SAMPLES / "interface.xml")[0]

    def _runs(
        self, how: str, rounds: int, environment: Mapping[str, str], programs: Sequence[str], fresh: Path
    ) -> list[list[Run]]:
        command = [self._spawn, how, str(rounds), str(fresh), str(self.document), *programs]
        lines = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=True).stdout
        runs: list[list[Run]] = [[] for _ in programs]
        for line in lines.splitlines():
            program, wall, cpu, status = (int(field) for field in line.split())
            if status != 0:
                raise RuntimeError(f"{programs[program]} exited {status}")
            runs[program].append(Run(wall / 1000, cpu / 1000))
        return runs

    def load(self, socket: Path, count: int, frame: bytes) -> list[float]:
        """How long one request takes without a program around it, in µs. Raises CalledProcessError when one fails."""
        done = subprocess.run([self._load, str(socket), str(count)], input=frame, capture_output=True, check=True)
        return [int(line) / 1000 for line in done.stdout.split()]


def static_linker() -> list[str]:
    """The shim's own compiler, libc and link flags: what it links is what any static program costs at the least."""
    make = ["make", "--no-print-directory", "-s", "-C", str(ROOT / "shim"), "linker"]
    return subprocess.run(make, capture_output=True, text=True, check=True).stdout.split()


def cpu_time(pid: int) -> float:
    """What all threads of a process have used of the processors so far, in µs, to the nanosecond."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1000


def memory(pid: int) -> float:
    """The proportional set size of a process, in MiB."""
    return _rollup(pid, "Pss") / 1024


def resident(pid: int) -> int:
    """The pages of a process that are in memory, in KiB."""
    return _rollup(pid, "Rss")


def _rollup(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1])
    raise RuntimeError(f"the kernel does not tell the memory of {pid}")


def median_wall(runs: Sequence[Run]) -> float:
    """In µs."""
    return statistics.median(run.wall for run in runs)


def percentile_99(runs: Sequence[Run]) -> float:
    """Of the wall times, in µs."""
    return statistics.quantiles([run.wall for run in runs], n=100)[98] if len(runs) > 1 else runs[0].wall


def environment(**variables: str) -> dict[str, str]:
    """The tests' own, and more."""
    return {**os.environ, **variables}
