"""The measurements: each returns its figures. `Scale` says how often; all ratios are within one run."""

from __future__ import annotations

import os
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from tests import daemon
from tests.bench.figure import Figure, Time
from tests.bench.programs import (
    BENCH,
    Programs,
    Run,
    cpu_time,
    environment,
    median_wall,
    memory,
    percentile_99,
    resident,
)
from tests.daemon import BIN, SAMPLES, SHIM, Sandbox
from tests.vdsm import VM_ID
from vdsm_hookd import wire

EVENT = "before_device_create"
PLAIN_HOOK = str(BENCH / "plain_hook.py")
TASKSET = f"/usr/bin/taskset --cpu-list 0-{(os.cpu_count() or 1) - 1}"  # vdsm puts it before every hook
RULE = """
[rewrite r{0}]
hook = site
events = before_device_create
when = property mode equals m{0}
xpath = /interface/model
set type = e1000
"""
THIRD_HOOK = """
[rewrite third]
hook = third
events = before_vm_start
when = property third present
xpath = /domain/cpu
append = <feature name="vmx" policy="require"/>
"""


@dataclass(frozen=True)
class Scale:
    """How often things are run."""

    passes: int = 5
    rounds: int = 200
    python_rounds: int = 12
    at_once: int = 512
    requests: int = 2000
    first_requests: int = 10_000
    more_requests: int = 100_000
    networks: int = 10_000
    rules: int = 1000
    cold_starts: int = 9


SMOKE = Scale(1, 5, 2, 16, 20, 50, 100, 50, 10, 1)


@dataclass
class Bench:
    """One run of the benchmark, in a folder of its own."""

    folder: Path
    scale: Scale
    programs: Programs = field(init=False)
    times: list[Time] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.programs = Programs(self.folder)

    def figures(self) -> Iterator[Figure]:
        """All of them, in the table's order."""
        for measure in (
            self.start,
            self.domain,
            self.together,
            self.growth,
            self.bytes,
            self.memory,
            self.shim,
            self.cold,
            self.operator,
        ):
            yield from measure()

    @contextmanager
    def _daemon(self, networks: str = "", rules: str = "") -> Iterator[Sandbox]:
        """A daemon that knows these networks (default: the samples) and rules, as soon as it has read them all."""
        with daemon.running(self.folder, quiet=True, networks=networks or None, more_rules=rules) as sandbox:
            yield sandbox

    def _wanted(self, sandbox: Sandbox) -> dict[str, str]:
        return environment(LIBVIRT_DEFAULT_URI=sandbox.uri, extnet="glitter", vmId=VM_ID)

    def start(self) -> Iterator[Figure]:
        """What a VM start pays, beside programs that do nothing and a script that does the same.

        In passes, and the scripts in some of their own: a shim right after 40 ms of Python, or after a dynamic linker,
        finds caches that no hook before it left so cold.
        """
        programs, scale = self.programs, self.scale
        idle: list[list[Run]] = [[], []]
        busy: list[list[Run]] = [[], []]
        others: list[list[Run]] = [[], [], [], [], []]
        with self._daemon() as sandbox:
            shim = shlex.join(sandbox.shim(EVENT, "extnet"))
            wanted = self._wanted(sandbox)
            without = {name: value for name, value in wanted.items() if name != "extnet"}
            used = 0.0
            # In passes, so that a machine that changes its pace does so under all of them.
            for _ in range(scale.passes):
                _extend(idle, programs.in_turn(scale.rounds, without, [programs.empty, shim]))
                before = cpu_time(sandbox.pid)
                _extend(busy, programs.in_turn(scale.rounds, wanted, [programs.empty, shim]))
                used += cpu_time(sandbox.pid) - before
                scripts = [PLAIN_HOOK, "/usr/bin/python3 -S -E -c pass", f"{TASKSET} {PLAIN_HOOK}", f"{TASKSET} {shim}"]
                _extend(others, programs.in_turn(scale.python_rounds, wanted, [*scripts, programs.empty_dynamic]))
        empty, rewrite, script = median_wall(busy[0]), median_wall(busy[1]), median_wall(others[0])
        alone = median_wall(idle[1])
        self.times += [
            Time("empty static program", empty),
            Time("hook-shim, no property", alone),
            Time("hook-shim, extnet rewrite", rewrite),
            Time("empty dynamic program", median_wall(others[4])),
            Time("python3 -S -E -c pass", median_wall(others[1])),
            Time("plain Python hook", script),
            Time("hook-shim, as vdsm runs it", median_wall(others[3])),
            Time("plain Python hook, as vdsm runs it", median_wall(others[2])),
        ]
        yield Figure("shim, no property ÷ empty static program", alone / median_wall(idle[0]), 1.15, f"{alone:.0f} µs")
        yield Figure(
            "shim, extnet rewrite ÷ empty static program",
            rewrite / empty,
            2.5,
            f"{rewrite:.0f} µs ÷ {empty:.0f} µs",
        )
        slow, slow_empty = percentile_99(busy[1]), percentile_99(busy[0])
        yield Figure("the same, 99th percentiles", slow / slow_empty, 4, f"{slow:.0f} µs ÷ {slow_empty:.0f} µs")
        yield Figure(
            "plain Python hook ÷ shim, wall",
            script / rewrite,
            150,
            f"{script / 1000:.1f} ms ÷ {rewrite:.0f} µs",
            at_least=True,
        )
        shim_cpu = statistics.mean(run.cpu for run in busy[1])
        daemon_cpu = used / len(busy[1])
        script_cpu = statistics.mean(run.cpu for run in others[0])
        yield Figure(
            "plain Python hook ÷ (shim + daemon), CPU",
            script_cpu / (shim_cpu + daemon_cpu),
            150,
            f"{script_cpu / 1000:.1f} ms ÷ ({shim_cpu:.0f} + {daemon_cpu:.0f} µs)",
            at_least=True,
        )

    def domain(self) -> Iterator[Figure]:
        """Three hooks rewrite a large domain, one after the other."""
        domain = self.folder / "domain.xml"
        domain.write_text(_domain(60 * 1024))
        with self._daemon(rules=THIRD_HOOK) as sandbox:
            shims = {
                hook: shlex.join(sandbox.shim("before_vm_start", hook)) for hook in ("macspoof", "qemucmdline", "third")
            }
            asked = environment(macspoof="true", qemu_cmdline='["-name", "x"]', third="1", vmId=VM_ID)
            interface = shlex.join(sandbox.shim(EVENT, "extnet"))
            small: list[Run] = []
            large: list[Run] = []
            for _ in range(self.scale.passes):
                small += self.programs.in_turn(self.scale.rounds, self._wanted(sandbox), [interface])[0]
                large += self.programs.in_turn(self.scale.rounds, asked, [" + ".join(shims.values())], domain)[0]
        three, one = median_wall(large), median_wall(small)
        yield Figure(
            "60 KiB domain, 3 hooks ÷ sample interface, 1 hook", three / one, 8, f"{three:.0f} µs ÷ {one:.0f} µs"
        )

    def together(self) -> Iterator[Figure]:
        """Many shims at once, each with a file of its own, against as many in turn."""
        count = self.scale.at_once
        with self._daemon() as sandbox:
            shim, wanted = shlex.join(sandbox.shim(EVENT, "extnet")), self._wanted(sandbox)

            def cpu_per_request(run: Callable[[], list[Run]]) -> tuple[float, list[Run]]:
                before = cpu_time(sandbox.pid)
                runs = run()
                return (cpu_time(sandbox.pid) - before + sum(run.cpu for run in runs)) / len(runs), runs

            sequential, runs = cpu_per_request(lambda: self.programs.in_turn(count, wanted, [shim])[0])
            crowded, crowd = cpu_per_request(lambda: self.programs.at_once(count, wanted, shim))
        yield Figure(
            f"{count} at once ÷ in turn, CPU a request",
            crowded / sequential,
            1.3,
            f"{crowded:.0f} µs ÷ {sequential:.0f} µs",
        )
        slowest, median = max(run.wall for run in crowd), median_wall(runs)
        yield Figure(
            f"the slowest of {count} at once ÷ one in turn",
            slowest / median,
            count,
            f"{slowest / 1000:.1f} ms ÷ {median:.0f} µs; none failed",
        )

    def growth(self) -> Iterator[Figure]:
        """A request that one rule serves, put without a program around it, in a small and in a large host."""
        scale = self.scale
        xml = (SAMPLES / "interface.xml").read_bytes()
        extnet = _frame("extnet", {"extnet": b"glitter"}, xml)
        site = _frame("site", {"mode": b"m0"}, xml)
        rules = "".join(map(RULE.format, range(scale.rules)))
        with self._daemon(daemon.GLITTER, rules=RULE.format(0)) as sandbox:
            few = self._medians(sandbox, extnet, site)
        with self._daemon(daemon.GLITTER + _networks(scale.networks - 1)) as sandbox:
            (many_networks,) = self._medians(sandbox, extnet)
        with self._daemon(rules=rules) as sandbox:
            _extnet, many_rules = self._medians(sandbox, extnet, site)
        yield Figure(
            f"a request: networks 1 → {scale.networks}",
            many_networks / few[0],
            1.5,
            f"{many_networks:.0f} µs ÷ {few[0]:.0f} µs",
        )
        yield Figure(
            f"a request: rules 1 → {scale.rules}", many_rules / few[1], 1.5, f"{many_rules:.0f} µs ÷ {few[1]:.0f} µs"
        )

    def _medians(self, sandbox: Sandbox, *frames: bytes) -> list[float]:
        return [
            statistics.median(self.programs.load(sandbox.hook_socket, self.scale.requests, frame)) for frame in frames
        ]

    def bytes(self) -> Iterator[Figure]:
        """The time of a byte, by the size of the document: the worst step from one size to the next."""
        sizes = [2 << exponent for exponent in range(10, 21, 2)]
        files = [self.folder / f"domain-{size}.xml" for size in sizes]
        for size, file in zip(sizes, files):
            file.write_text(_domain(size))
        runs: list[list[Run]] = [[] for _ in files]
        rounds = max(3, self.scale.rounds // 4 // self.scale.passes)
        with self._daemon() as sandbox:
            shim = shlex.join(sandbox.shim("before_vm_start", "macspoof"))
            asked = environment(macspoof="true", vmId=VM_ID)
            for _ in range(self.scale.passes):
                _extend(runs, [self.programs.in_turn(rounds, asked, [shim], file)[0] for file in files])
        per_byte = [median_wall(of_size) * 1000 / file.stat().st_size for of_size, file in zip(runs, files)]
        steps = [after / before for before, after in zip(per_byte, per_byte[1:])]
        seen = "ns a byte: " + " ".join(f"{value:.1f}" for value in per_byte)
        yield Figure("a byte of XML, 2 KiB → 2 MiB: the worst of five steps", max(steps), 1, seen)

    def memory(self) -> Iterator[Figure]:
        """The daemon's proportional set size with 500 networks, and how it grows."""
        frame = _frame("extnet", {"extnet": b"glitter"}, (SAMPLES / "interface.xml").read_bytes())
        with self._daemon(daemon.GLITTER + _networks(499)) as sandbox:
            self.programs.load(sandbox.hook_socket, self.scale.first_requests, frame)
            first = memory(sandbox.pid)
            self.programs.load(sandbox.hook_socket, self.scale.more_requests, frame)
            grown = memory(sandbox.pid) - first
        yield Figure(
            f"daemon's memory after {self.scale.first_requests} requests", first, 40, "PSS, 500 networks", unit=" MiB"
        )
        yield Figure(f"its growth over {self.scale.more_requests} more", grown, 1, "PSS", unit=" MiB")

    def shim(self) -> Iterator[Figure]:
        """The program itself."""
        with self._daemon() as sandbox:
            peak = self._peak_memory(sandbox)
        yield Figure("hook-shim, file", SHIM.stat().st_size / 1024, 40, "stripped", unit=" KiB")
        yield Figure("hook-shim, peak memory", peak, 400, "resident, at the end of an extnet rewrite", unit=" KiB")

    def _peak_memory(self, sandbox: Sandbox) -> float:
        """In KiB, when it is about to end: it never gives memory back. Not rusage's figure: the kernel counts that in
        steps of more than this program has."""
        shutil.copy(SAMPLES / "interface.xml", self.programs.document)
        asked = {**self._wanted(sandbox), "_hook_domxml": str(self.programs.document)}
        hold = ["strace", "--quiet=all", "--trace=exit_group", "--inject=exit_group:delay_enter=500000"]
        peak = 0
        with subprocess.Popen([*hold, *sandbox.shim(EVENT, "extnet")], env=asked, stderr=subprocess.PIPE) as strace:
            while strace.poll() is None:
                with suppress(OSError):  # it may end under our eyes
                    for child in Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split():
                        if os.readlink(f"/proc/{child}/exe") == str(SHIM):
                            peak = max(peak, resident(int(child)))
                time.sleep(0.01)
        if strace.returncode != 0 or not peak:
            raise RuntimeError(f"hook-shim under strace ended with {strace.returncode}")
        return peak

    def cold(self) -> Iterator[Figure]:
        """The first request of all starts the daemon by its socket; systemd's own tool holds the sockets meanwhile."""
        imports = [sys.executable, "-c", "import lxml.etree, libvirt, msgpack"]
        first, alone = [], []
        for _ in range(self.scale.cold_starts):
            first.append(self._first_request())
            alone.append(_seconds(imports))
        cold, bare = statistics.median(first) * 1000, statistics.median(alone) * 1000
        yield Figure(
            "first request, daemon started by socket ÷ its imports", cold / bare, 2, f"{cold:.0f} ms ÷ {bare:.0f} ms"
        )

    def operator(self) -> Iterator[Figure]:
        """What an operator waits for."""
        with self._daemon() as sandbox:
            asked = [str(BIN / "hookctl"), f"--socket={sandbox.control_socket}", "status"]
            took = statistics.median(_seconds(asked) for _ in range(2 * self.scale.cold_starts)) * 1000
        yield Figure("hookctl status, start-up included", took, 150, "an absolute time", unit=" ms")

    def _first_request(self) -> float:
        sandbox = daemon.prepare(self.folder)
        shutil.copy(SAMPLES / "interface.xml", self.programs.document)
        environment = {**self._wanted(sandbox), "_hook_domxml": str(self.programs.document)}
        with daemon.socket_activated(sandbox):
            return _seconds(sandbox.shim(EVENT, "extnet"), environment)


def _extend(runs: list[list[Run]], more: list[list[Run]]) -> None:
    for known, added in zip(runs, more):
        known += added


def _seconds(command: list[str], environment: Mapping[str, str] | None = None) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return time.perf_counter() - start


def _frame(hook: str, properties: Mapping[str, bytes], document: bytes) -> bytes:
    return wire.frame([wire.VERSION, EVENT, hook, {**properties, "vmId": VM_ID.encode()}, document])


def _domain(size: int) -> str:
    """The sample domain, with as many disks more as make it so large."""
    domain = (SAMPLES / "domain.xml").read_text()
    disk = domain[domain.index("    <disk snapshot") : domain.index("  </devices>")]
    more = disk * max(0, (size - len(domain)) // len(disk))
    return domain.replace("  </devices>", more + "  </devices>")


def _networks(count: int) -> str:
    return "".join(f"<network><name>n{number}</name></network>" for number in range(count))
