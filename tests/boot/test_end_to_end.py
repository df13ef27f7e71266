"""The suite of tests/real once more, with the daemon that rpm installed, as a service under its hardened unit.

Real libvirtd, QEMU and Open vSwitch, on a booted host. Left out is only what stands in for systemd, and what does not
touch the daemon.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests import faults
from tests.boot.machine import ROOT, Machine
from tests.boot.makers import MakeMachine
from tests.boot.packages import Packages

# The suite starts these itself, to stop, freeze and kill them.
_ITS_OWN = (
    *("libvirtd.service", "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket"),
    *("openvswitch-switch.service", "ovs-vswitchd.service", "ovsdb-server.service"),
)
_UNITS = ("vdsm-hookd.service", "vdsm-hookd.socket", "vdsm-hookd-control.socket")
_REPORTS = "/tmp/faults"  # the checkout is read-only in there
_SUITE = (
    "completion",
    "guests",
    "hooks",
    "hostile",
    "operator",
    "overload",
    "peers",
    "policy",
    "restarts",
    "service",
    "watch",
)


@pytest.fixture
def quiet(make_machine: MakeMachine) -> Iterator[Machine]:
    """A host on which neither libvirtd nor Open vSwitch runs."""
    with make_machine(masked=_ITS_OWN) as machine:
        yield machine


@pytest.mark.timeout(600)
def test_the_end_to_end_suite_passes_under_the_unit(
    quiet: Machine, packages: Packages, capsys: pytest.CaptureFixture[str]
) -> None:
    packages.install(quiet)
    quiet.run("rpm", "-e", "vdsm-hookd-hooks-extra")  # the suite counts on the default configuration
    quiet.run("systemctl", "stop", *_UNITS)
    # What tests/real/run leaves in its namespaces: these are as private as those.
    quiet.run("sh", "-c", "for name in mnt net pid; do readlink /proc/self/ns/$name; done > /run/vdsm-hookd-tests")
    pytest_inside = "python3 -m pytest -q -p no:cacheprovider -m 'not own_process and not needs_tools'"
    suite = " ".join(f"tests/real/test_{name}.py" for name in _SUITE)
    command = f"cd {ROOT} && FAULT_REPORTS={_REPORTS} HOOKD_UNDER_TEST=unit {pytest_inside} {suite}"
    done = quiet.call("sh", "-c", command, timeout=550)
    with capsys.disabled():
        print(f"\nunder the unit: {done.stdout.splitlines()[-1] if done.stdout else done.stderr}")
    assert done.returncode == 0, done.stdout[-20000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) >= 120
    assert "skipped" not in done.stdout
    faults.adopt(quiet.run("cat", f"{_REPORTS}/reports"))
