"""Clients that ask for all kinds of things until standard input ends, and know what may come out. Runs in the machine.

    python3 -m tests.boot.soak CLIENTS SEED

Prints a line when they run, and at the end one line of JSON: calls, rewritten, refusals by code, and what was wrong.
"""

from __future__ import annotations

import collections
import json
import random
import sys
import threading
from pathlib import Path
from typing import NamedTuple

from lxml import etree

from tests.vdsm import HookRun, run_hooks

HOOKS = Path("/usr/libexec/vdsm/hooks")
EVENTS = ("before_device_create", "before_nic_hotplug")
FILTER = '<filterref filter="vdsm-no-mac-spoofing"/>'
SAMPLE = (Path(__file__).resolve().parents[1] / "samples" / "interface.xml").read_text()
SAMPLE = SAMPLE.replace('<filterref filter="no-mac-spoofing"/>', FILTER)
STEADY, FLAPPING, FICKLE = "glitter", "flapping", "fickle"
"""Networks: always active, now and then not, and now and then denied by the policy."""
_PAUSE = 0.01  # seconds


class Case(NamedTuple):
    """A request: the network it must come to, if any, whether its filter goes, and the codes that may refuse it."""

    properties: dict[str, str]
    network: str = ""
    unfiltered: bool = False
    codes: tuple[str, ...] = ()
    must_fail: bool = False


UNSURE = ("libvirt-unavailable",)
CASES = (
    Case({}),
    Case({"extnetwork": STEADY, "EXTNET": STEADY}),
    Case({"extnet": STEADY}, STEADY),
    Case({"extnet": STEADY, "ifacemacspoof": "true"}, STEADY, unfiltered=True),
    Case({"ifacemacspoof": "true"}, unfiltered=True),
    Case({"ifacemacspoof": "false"}),
    Case({"extnet": FLAPPING}, FLAPPING, codes=("network-inactive", *UNSURE)),
    Case({"extnet": FICKLE}, FICKLE, codes=("network-not-allowed",)),
    Case({"extnet": "nowhere"}, codes=("network-missing", *UNSURE), must_fail=True),
    Case({"extnet": f"{STEADY}/none"}, codes=("portgroup-missing", *UNSURE), must_fail=True),
    Case({"extnet": f"{STEADY}\n"}, codes=("network-missing", "bad-property", *UNSURE), must_fail=True),
)


def wrong(case: Case, before: str, run: HookRun) -> str:
    """What is wrong with how a request ended; nothing where it is right."""
    if run.litter or run.reserved:
        return f"left {run.litter}, ended by {run.reserved}"
    if run.failed:
        code = run.stderr.split(": ")[1] if run.stderr.count(": ") > 1 else run.stderr
        if code not in case.codes:
            return f"refused: {run.stderr}"
        return "" if run.xml == before else "refused, but changed"
    if case.must_fail:
        return f"let through as {run.xml}"
    if not case.network and not case.unfiltered:
        return "" if run.xml == before else f"changed without a property: {run.xml}"
    return "" if _canonical(run.xml) == _canonical(expected(case, before)) else f"came out as {run.xml}"


def expected(case: Case, before: str) -> str:
    """The document that comes out where the request is not refused."""
    document = before
    if case.network:
        document = document.replace('<interface type="bridge">', '<interface type="network">')
        document = document.replace('<source bridge="rhevm"/>', f'<source network="{case.network}"/>')
    return document.replace(FILTER, "") if case.unfiltered else document


def _canonical(xml: str) -> bytes:
    parser = etree.XMLParser(remove_blank_text=True)
    text: bytes = etree.tostring(etree.fromstring(xml, parser), method="c14n")
    return text


class Soak:
    """What the clients have seen so far."""

    def __init__(self, clients: int, seed: int) -> None:
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client, args=(seed + each,)) for each in range(clients)]
        self.calls = self.rewritten = 0
        self.refusals: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        print("running", flush=True)
        sys.stdin.read()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, seed: int) -> None:
        dice = random.Random(seed)
        while not self._stop.wait(_PAUSE):
            case = dice.choice(CASES)
            before = SAMPLE.replace("52:54:00:59:F5:3F", f"52:54:00:{dice.randrange(2**24):06x}")
            try:
                run = run_hooks(HOOKS, dice.choice(EVENTS), before, case.properties, user="vdsm")
                self._count(case, before, run)
            except Exception as error:  # a client that dies in silence would be one less to see anything
                with self._lock:
                    self.wrong.append(repr(error))

    def _count(self, case: Case, before: str, run: HookRun) -> None:
        found = wrong(case, before, run)
        with self._lock:
            self.calls += 1
            self.rewritten += run.xml != before
            if run.failed:
                self.refusals[run.stderr.split(": ")[1]] += 1
            if found:
                self.wrong.append(f"{case.properties}: {found}")


if __name__ == "__main__":
    soak = Soak(*map(int, sys.argv[1:]))
    soak.run()
    seen = {"calls": soak.calls, "rewritten": soak.rewritten, "refusals": soak.refusals, "wrong": soak.wrong[:10]}
    print(json.dumps({**seen, "failures": len(soak.wrong)}))
