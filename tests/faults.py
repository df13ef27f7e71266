"""What the project withstands, as one table: a row is a fault or an attack, and the tests that tried it report here.

A test calls `held` when its fault has been withstood; `python -m tests.faults` prints the table of all that was
reported since it was cleared, and fails where a row has no report: a test that did not run proves nothing.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

FAULTS = {
    "daemon-killed": "daemon SIGKILLed at random, 8 clients",
    "daemon-down": "daemon can't start for 20 s",
    "daemon-stopped": "daemon SIGSTOPped",
    "libvirt-stopped": "libvirtd SIGSTOPped, running and before the daemon's start",
    "libvirt-restarted": "libvirtd restarted",
    "silent-changes": "changes of networks without events",
    "idle-clients": "200 idle, half-closed or one-byte-a-second clients",
    "descriptors": "descriptors exhausted",
    "no-space": "no space, read-only or vanished directory for the XML file",
    "shim-killed": "shim killed before and after every system call",
    "interrupted-calls": "system calls failing with EINTR, EAGAIN, short reads and writes",
    "hostile-xml": "XXE, DTD, bombs, encodings, 20 000 attributes, deep nesting, NUL, 4 MiB + 1",
    "hostile-properties": "every property of every hook with hostile values",
    "hostile-environment": "hostile environment of shim and daemon",
    "hostile-document": "_hook_domxml a symlink, FIFO, device, directory, another's, missing, relative",
    "wrong-peers": "wrong user on either socket, an impostor's socket on the path",
    "random-frames": "random and mutated frames, for the daemon's decoder, the core and the shim's parser",
    "one-file": "two requests for the same file, a file replaced by another hook in between",
    "clocks": "clock jumps, the whole tree suspended",
    "sigterm": "SIGTERM under load",
    "journal-stopped": "journald that does not read, under load",
    "running-vnics": "the daemon killed, restarted, stopped, upgraded, misconfigured while links are toggled",
    "soak": "16 clients, networks flapping, reloads, kills, every answer held against an oracle",
}
"""The rows, by the names that tests report them under."""

REPORTS = Path(os.environ.get("FAULT_REPORTS", Path(__file__).parents[1] / ".cache" / "faults"))

FULL = os.environ.get("FAULTS") == "full"
"""Whether long tests run at their full length (`make soak`) or shortened (`make check`)."""


def held(fault: str, tries: int, result: str) -> None:
    """Report that a fault of the table was withstood: how often it was tried, and what was seen."""
    if fault not in FAULTS:
        raise KeyError(f"{fault} is no row of the table")
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    adopt(json.dumps([fault, test, tries, result]) + "\n")


def adopt(lines: str) -> None:
    """Add what was reported elsewhere, in a machine that a test booted."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    with open(REPORTS / "reports", "a", encoding="utf-8") as file:
        file.write(lines)


def main() -> int:
    """Print the table; 1 where a row is missing. With `--clear`, forget what was reported."""
    reports = REPORTS / "reports"
    if sys.argv[1:] == ["--clear"]:
        reports.unlink(missing_ok=True)
        return 0
    seen: defaultdict[str, dict[str, tuple[int, str]]] = defaultdict(dict)
    for line in reports.read_text(encoding="utf-8").splitlines() if reports.exists() else ():
        fault, test, tries, result = json.loads(line)
        seen[fault][f"{test} {result}"] = (tries, result)
    width = max(map(len, FAULTS.values()))
    for fault, text in FAULTS.items():
        of_row = seen[fault].values()
        tries = sum(each for each, _result in of_row)
        results = "; ".join(dict.fromkeys(result for _tries, result in of_row)) or "NOT TRIED"
        print(f"{text.ljust(width)}  {tries:>7}  {results}")
    return 0 if all(seen[fault] for fault in FAULTS) else 1


if __name__ == "__main__":
    sys.exit(main())
