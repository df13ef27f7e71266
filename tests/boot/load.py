"""Clients that run hooks as vdsm does, one after the other, until standard input ends. Runs inside the machine.

    python3 -m tests.boot.load CLIENTS

Prints a line when each client has run its first hook, and at the end one line of JSON: calls, failures, worst seconds.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from tests.vdsm import run_hooks

HOOKS = Path("/usr/libexec/vdsm/hooks")
EVENT = "before_device_create"
SAMPLE = (Path(__file__).resolve().parents[1] / "samples" / "interface.xml").read_text()


# Seconds between two hooks of a client: or the clients themselves would keep all cores from the daemon.
_PAUSE = 0.02


class Load:
    """What the clients have seen so far."""

    def __init__(self, clients: int) -> None:
        self._stop = threading.Event()
        self._first = threading.Barrier(clients + 1)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]
        self.calls = 0
        self.failures: list[str] = []
        self.worst = 0.0

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        self._first.wait()
        print("running", flush=True)
        sys.stdin.read()
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self) -> None:
        self._call()
        self._first.wait()
        while not self._stop.wait(_PAUSE):
            self._call()

    def _call(self) -> None:
        try:
            done = run_hooks(HOOKS, EVENT, SAMPLE, {"extnet": "glitter"}, user="vdsm")
            failure = done.stderr if done.failed else "" if '<source network="glitter"/>' in done.xml else done.xml
            seconds = max(done.durations.values(), default=0.0)
            failure = failure or ("" if "50_extnet" in done.returncodes else f"only {done.returncodes} ran")
        except Exception as error:  # a client that dies in silence would be one less to fail
            failure, seconds = repr(error), 0.0
        with self._lock:
            self.calls += 1
            self.worst = max(self.worst, seconds)
            if failure:
                self.failures.append(failure)


if __name__ == "__main__":
    load = Load(int(sys.argv[1]))
    load.run()
    print(json.dumps({"calls": load.calls, "failures": load.failures[:10], "worst": load.worst}))
