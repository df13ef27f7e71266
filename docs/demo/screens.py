"""The pictures in the README, made anew from a real run: `make screens`.

A real libvirtd, QEMU guest and daemon on a host of their own (tests/real/run). A guest starts on glitter, some requests
are refused, and virsh moves the guest's vNIC behind the daemon's back.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import panels
import terminal
from panels import Panel

from tests.real.guest import Guest, domain_with, sample
from tests.real.hookd import BIN, ROOT, Hookd, link_hook
from tests.real.host import Bridge, require_private_host
from tests.real.libvirtd import Libvirtd, Network
from tests.vdsm import run_hooks
from vdsm_hookd.metrics import BUCKETS, OUTCOMES

SCREENS = ROOT / "docs" / "screens"
CREATE = "before_device_create"
MAC = "56:6f:1a:2b:00:04"
VNIC = f'<interface type="bridge">\n  <mac address="{MAC}"/>\n  <source bridge="ovirtmgmt"/>\n</interface>\n'
SAMPLES, INTERVAL = 40, 0.25

Sample = Mapping[str, float]


def main() -> int:
    require_private_host()
    SCREENS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="screens-") as name, host(Path(name)) as (hookd, guest):
        folder = Path(name)
        file = folder / "vnic.xml"
        file.write_text(VNIC)
        explain = ["explain", "--event", CREATE, "--hook", "extnet", "--prop", "extnet=glitter", str(file)]
        picture("explain", explain)
        samples = []
        for number in range(SAMPLES):
            for turn in range(1 + number % 7):
                value = "gliter" if (number + turn) % 9 == 8 else "glitter"
                run_hooks(folder / "hooks", CREATE, sample("interface.xml"), {"extnet": value})
            if number == SAMPLES // 2:
                virsh = ["virsh", "--connect", "qemu:///system", "update-device", guest.name, str(file), "--live"]
                subprocess.run(virsh, check=True, capture_output=True)
            samples.append(measured(hookd))
            time.sleep(INTERVAL)
        for value in ("glitter", "gliter", "glitter"):
            run_hooks(folder / "hooks", CREATE, sample("interface.xml"), {"extnet": value})
        picture("audit", ["audit"])
        picture("history", ["history", "-n", "8"])
        picture("status", ["status"])
        (SCREENS / "dashboard.svg").write_text(panels.svg(dashboard(samples)))
    return 0


@contextmanager
def host(folder: Path) -> Iterator[tuple[Hookd, Guest]]:
    """libvirtd, the network glitter, a daemon, and a guest that its hook has put there."""
    with ExitStack() as stack:
        libvirtd = Libvirtd()
        libvirtd.configure()
        libvirtd.start()
        stack.callback(libvirtd.stop)
        for bridge in ("ovirtmgmt", "br-glitter"):
            stack.enter_context(Bridge(bridge))
        stack.enter_context(Network(libvirtd, "glitter", sample("network-glitter.xml")))
        hookd = Hookd(folder, "network:///system", "[audit]\nevery = 500ms\n")
        hookd.start()
        stack.callback(hookd.close)
        hooks = folder / "hooks"
        hooks.mkdir()
        joined = run_hooks(link_hook(hooks), CREATE, VNIC, {"extnet": "glitter"})
        xml = domain_with(joined.xml)
        name = xml[xml.index("<name>") + 6 : xml.index("</name>")]
        yield hookd, stack.enter_context(Guest(libvirtd, xml.replace(f"<name>{name}<", "<name>web-01<")))


def picture(name: str, arguments: Sequence[str]) -> None:
    """One hookctl command, run on a terminal."""
    shown = shlex.join(["hookctl", *(Path(each).name if "/" in each else each for each in arguments)])
    printed = terminal.run([str(BIN / "hookctl"), *arguments])
    (SCREENS / f"{name}.svg").write_text(terminal.svg([(shown, printed)]))


def measured(hookd: Hookd) -> Sample:
    """The daemon's metrics by name and the label that a panel tells apart, summed over the others."""
    sums: dict[str, float] = {}
    for family in hookd.ask("metrics"):
        for each in family["samples"]:
            labels = each["labels"]
            key = labels.get("outcome") or labels.get("state") or labels.get("le") or ""
            name = f"{family['name']}{each['suffix']} {key}".strip()
            sums[name] = sums.get(name, 0) + each["value"]
    return sums


def dashboard(samples: Sequence[Sample]) -> Sequence[Panel]:
    """Panels of docs/grafana.json, with the rates and quantiles that Prometheus would make of these samples."""
    pairs = list(zip(samples, samples[1:]))

    def gauge(name: str) -> Sequence[float]:
        return [each.get(f"vdsm_hookd_{name}", 0) for each in samples]

    def rate(name: str) -> Sequence[float]:
        key = f"vdsm_hookd_{name}"
        return [(after.get(key, 0) - before.get(key, 0)) / INTERVAL for before, after in pairs]

    def quantile(part: float) -> Sequence[float]:
        name = "vdsm_hookd_request_duration_seconds"
        found = []
        for before, after in pairs:
            wanted = part * (after[f"{name}_count"] - before[f"{name}_count"])
            keys = [(bound, f"{name}_bucket {bound}") for bound in BUCKETS]
            found.append(next(bound for bound, key in keys if after[key] - before[key] >= wanted) * 1000)
        return found

    return [
        Panel("Requests by outcome", "/s", {outcome: rate(f"requests_total {outcome}") for outcome in OUTCOMES}),
        Panel("Time to answer", " ms", {"p50": quantile(0.5), "p99": quantile(0.99)}),
        Panel("vNICs not where they were declared", "", {"drifted": gauge("drifted_vnics")}),
        Panel("Networks by state", "", {state: gauge(f"networks {state}") for state in ("active", "inactive")}),
        Panel("Time since all networks were read", " s", {"age": gauge("libvirt_resync_age_seconds")}),
        Panel("libvirt", "", {"up": gauge("libvirt_up")}),
    ]


if __name__ == "__main__":
    sys.exit(main())
