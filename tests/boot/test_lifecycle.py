"""Installation, upgrade and removal by rpm, on a host that runs."""

from __future__ import annotations

import pytest

from tests.boot.clients import Clients
from tests.boot.hooks import run_hook
from tests.boot.machine import Machine
from tests.boot.network import add_network
from tests.boot.packages import Packages

SERVICE = "vdsm-hookd.service"
SOCKETS = ("vdsm-hookd.socket", "vdsm-hookd-control.socket")
CONFIGURATION = "/etc/vdsm-hookd/vdsm-hookd.conf"

# What a host writes by itself while the packages come and go: their database, logs, and what systemd-sysusers keeps of
# the files that it adds the user to.
_NOT_OURS = ("/packages", "/var/lib/rpm/", "/var/log/", "/var/cache/", "/root/", "/etc/libvirt/", "/var/lib/systemd/")
# Directories that EL's package filesystem owns, and a small Debian may lack.
_OF_FILESYSTEM = ("/usr/share/licenses", *(f"/usr/share/man/man{section}" for section in (1, 5, 8)))
_OF_SYSUSERS = {f"/etc/{name}" for name in ("passwd-", "group-", "shadow-", "gshadow-", ".pwd.lock")}


def files(machine: Machine) -> set[str]:
    """All on the disk, and what lies in /run beside other services' folders, by their paths."""
    found = machine.run("find", "/", "-xdev") + machine.run("find", "/run", "-path", "*vdsm*")
    return {path for path in found.splitlines() if not path.startswith(_NOT_OURS)}


def names(packages: Packages, release: int) -> list[str]:
    return list(packages.files(release))


def test_removal_leaves_the_files_that_were_there_before(bare: Machine, packages: Packages) -> None:
    add_network(bare)
    bare.run("mkdir", "-p", *_OF_FILESYSTEM)
    before = files(bare)
    packages.install(bare, 1)
    bare.run("systemctl", "start", SERVICE)
    assert run_hook(bare).network == "glitter"
    bare.run("hookctl", "reload")  # as root, who could write byte code beside the modules
    packages.install(bare, 2)
    assert run_hook(bare).network == "glitter"
    assert len(files(bare) - before) > 50
    bare.run("rpm", "-e", *names(packages, 2))
    assert files(bare) - before - _OF_SYSUSERS == set()
    assert before - files(bare) == set()
    for unit in (SERVICE, *SOCKETS):
        assert bare.property(unit, "LoadState") == "not-found"
    assert "vdsm-hookd" not in bare.run("ps", "-e", "-o", "args")


def test_an_upgrade_under_load_fails_no_hook(
    bare: Machine, packages: Packages, capsys: pytest.CaptureFixture[str]
) -> None:
    add_network(bare)
    packages.install(bare, 1)
    bare.run("systemctl", "start", SERVICE)
    bare.run("sh", "-c", f"echo '# mine' >> {CONFIGURATION}")
    pid = bare.pid()
    listening = [bare.property(unit, "ActiveEnterTimestampMonotonic") for unit in SOCKETS]
    with Clients(bare) as clients:
        packages.install(bare, 2)
    with capsys.disabled():
        print(f"\nan upgrade: {clients.calls} hooks, {len(clients.failures)} failed, worst {clients.worst:.2f} s")
    assert clients.failures == []
    assert bare.pid() not in (0, pid)
    assert [bare.property(unit, "ActiveEnterTimestampMonotonic") for unit in SOCKETS] == listening
    assert bare.run("rpm", "-q", "--queryformat=%{release}", "vdsm-hookd") == "2"
    assert "# mine" in bare.run("cat", CONFIGURATION)
    assert bare.active(SERVICE)


def test_an_installation_enables_the_units_and_starts_none(bare: Machine, packages: Packages) -> None:
    packages.install(bare)
    for unit in (SERVICE, *SOCKETS):
        assert bare.property(unit, "UnitFileState") == "enabled"
        assert not bare.active(unit)


def test_an_upgrade_starts_nothing_that_an_operator_has_stopped(bare: Machine, packages: Packages) -> None:
    packages.install(bare, 1)
    bare.run("systemctl", "disable", "--now", SERVICE)
    packages.install(bare, 2)
    for unit in (SERVICE, *SOCKETS):
        assert bare.property(unit, "UnitFileState") == "disabled"
        assert not bare.active(unit)


def test_a_hook_package_that_goes_takes_its_hook_along(bare: Machine, packages: Packages) -> None:
    add_network(bare)
    packages.install(bare)
    bare.run("systemctl", "start", SERVICE)
    bare.run("rpm", "-e", "vdsm-hookd-extnet")
    gone = run_hook(bare)
    assert (gone.unchanged, gone.returncodes) == (True, {"50_allocate_net": 0, "50_macspoof": 0})
    assert "macbind" in bare.run("hookctl", "policy")
    bare.run("rpm", "-e", "vdsm-hookd-hooks-extra")
    assert "macbind" not in bare.run("hookctl", "policy")
