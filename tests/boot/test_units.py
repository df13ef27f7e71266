"""The units on a booted host: start by socket, reload, bad configurations, hangs, users, the sandbox."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.boot.configuration import BAD, REASON, SITE
from tests.boot.hooks import run_hook
from tests.boot.machine import ROOT, Machine
from tests.real.wait import wait_for

KEPT = "/var/lib/vdsm-hookd/configuration"
SERVICE = "vdsm-hookd.service"
UNITS = (SERVICE, "vdsm-hookd.socket", "vdsm-hookd-control.socket")


def test_the_exposure_is_at_most_half_a_point(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = machine.run("systemd-analyze", "security", "--no-pager", SERVICE).splitlines()[-1]
    with capsys.disabled():
        print(f"\n{verdict}")
    found = re.search(r"exposure level for vdsm-hookd.service: ([0-9.]+) ", verdict)
    assert found
    assert float(found[1]) <= 0.5


def test_the_units_have_no_line_that_systemd_does_not_know(machine: Machine) -> None:
    done = machine.call("systemd-analyze", "verify", "--man=no", SERVICE)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_first_request_after_a_boot_starts_the_service(machine: Machine) -> None:
    machine.run("rm", f"/etc/systemd/system/multi-user.target.wants/{SERVICE}")
    machine.power_off()
    machine.boot()
    try:
        assert machine.property(SERVICE, "ActiveState") == "inactive"
        assert machine.active("vdsm-hookd.socket")
        assert run_hook(machine).network == "glitter"
        assert machine.active(SERVICE)
    finally:
        machine.run("systemctl", "enable", SERVICE)


def test_a_good_configuration_is_reloaded_and_a_bad_one_fails_the_reload_alone(machine: Machine) -> None:
    pid = machine.pid()
    machine.write(SITE, "[extnet]\ndeny = glitter\n")
    machine.run("systemctl", "reload", SERVICE)
    assert run_hook(machine).code == "network-not-allowed"
    machine.write(SITE, BAD)
    assert machine.status("systemctl", "reload", SERVICE) == 1
    assert REASON in machine.journal(f"--unit={SERVICE}")
    assert run_hook(machine).code == "network-not-allowed"
    machine.run("rm", SITE)
    machine.run("systemctl", "reload", SERVICE)
    assert run_hook(machine).network == "glitter"
    assert machine.pid() == pid


def test_a_first_start_with_a_bad_configuration_says_why_and_recovers_by_itself(machine: Machine) -> None:
    machine.run("systemctl", "stop", SERVICE)
    machine.run("rm", KEPT)
    machine.write(SITE, BAD)
    refused = run_hook(machine)
    assert refused.code == "daemon-unreachable"
    assert "see systemctl status vdsm-hookd" in refused.stderr
    assert refused.unchanged
    wait_for(
        lambda: REASON in machine.call("systemctl", "status", "--full", SERVICE).stdout, "the reason in the status"
    )
    assert machine.active("vdsm-hookd.socket")
    machine.run("rm", SITE)
    fixed = time.monotonic()
    assert run_hook(machine).network == "glitter"
    assert time.monotonic() - fixed < 2


def test_a_bad_configuration_does_not_keep_the_host_busy(machine: Machine) -> None:
    machine.run("systemctl", "stop", SERVICE)
    machine.run("rm", KEPT)
    machine.write(SITE, BAD)
    machine.call("systemctl", "start", SERVICE)
    started = int(machine.property(SERVICE, "NRestarts"))
    wait_for(lambda: int(machine.property(SERVICE, "NRestarts")) >= started + 1, "another try", 5)
    first = time.monotonic()
    wait_for(lambda: int(machine.property(SERVICE, "NRestarts")) >= started + 3, "two more tries", 10)
    assert time.monotonic() - first > 2


def test_a_burst_of_failures_does_not_end_in_a_failed_unit(machine: Machine) -> None:
    for _ in range(8):
        pid = wait_for(machine.pid, "a process", 5)
        machine.kill(signal.SIGKILL)
        wait_for(lambda before=pid: machine.pid() != before, "its end", 5)  # type: ignore[misc]
    assert run_hook(machine).network == "glitter"
    assert machine.active("vdsm-hookd.socket")


@pytest.mark.parametrize("user", ["nobody", "vdsm"])
def test_operators_are_root(machine: Machine, user: str) -> None:
    done = machine.call("hookctl", user=user)
    assert done.returncode == 77
    assert done.stderr.startswith("hookctl: not permitted: ")


def test_hooks_are_served_to_vdsm_and_root_alone(machine: Machine) -> None:
    assert machine.run("stat", "--format=%U %a", "/run/vdsm-hookd/hook.sock") == "vdsm 600\n"
    assert machine.run("stat", "--format=%U %a", "/run/vdsm-hookd/control.sock") == "root 600\n"
    assert run_hook(machine).network == "glitter"
    assert run_hook(machine, user="root").network == "glitter"
    outsider = run_hook(machine, user="nobody")
    assert (outsider.code, outsider.unchanged) == ("daemon-unreachable", True)
    assert "Permission denied" in outsider.stderr


def test_the_daemon_too_knows_who_calls(machine: Machine) -> None:
    """Where file modes do not say it: the sandbox leaves the peers their uids."""
    machine.run("chmod", "666", "/run/vdsm-hookd/hook.sock", "/run/vdsm-hookd/control.sock")
    nobody = machine.run("id", "-u", "nobody").strip()
    outsider = run_hook(machine, user="nobody")
    assert outsider.stderr.startswith(f"extnet: not-permitted: uid {nobody} may not use the hook socket")
    assert machine.call("hookctl", user="vdsm").returncode == 77


@pytest.fixture
def without_vdsm(machine: Machine) -> Iterator[Machine]:
    entry = machine.run("getent", "passwd", "vdsm").strip()
    machine.run("sed", "-i", "/^vdsm:/d", "/etc/passwd")
    yield machine
    machine.run("sh", "-c", 'echo "$0" >> /etc/passwd', entry)


def test_a_host_without_the_user_vdsm_serves_root(without_vdsm: Machine) -> None:
    without_vdsm.run("systemctl", "restart", *UNITS)
    assert without_vdsm.active("vdsm-hookd.socket")
    assert without_vdsm.run("stat", "--format=%U %a", "/run/vdsm-hookd/hook.sock") == "root 600\n"
    assert run_hook(without_vdsm, user="root").network == "glitter"


def test_macbind_sees_the_hosts_bridges_of_either_kind(machine: Machine) -> None:
    mac = "56:6f:1a:2b:00:04"
    domain = (ROOT / "tests/samples/domain.xml").read_text()
    machine.run(
        "ovs-vsctl", "--timeout=10", "add-br", "ovs-br", "--", "set", "bridge", "ovs-br", "datapath_type=netdev"
    )
    try:
        for bridge in ("br-glit", "ovs-br"):
            done = run_hook(machine, "before_vm_start", domain, {"macbind": f"{{'{mac}': '{bridge}'}}"})
            assert f'<source bridge="{bridge}"/>' in done.xml, done.stderr
            assert ('<virtualport type="openvswitch"/>' in done.xml) == (bridge == "ovs-br")
        lacking = run_hook(machine, "before_vm_start", domain, {"macbind": f"{{'{mac}': 'lo'}}"})
        assert lacking.code == "bad-property"
    finally:
        machine.run("ovs-vsctl", "--timeout=10", "del-br", "ovs-br")


def test_the_sandbox_holds(machine: Machine) -> None:
    """What the unit promises, asked of the kernel: no capability, no network, nothing writable but its state."""
    pid = str(machine.pid())
    status = machine.run("cat", f"/proc/{pid}/status")
    assert re.search(r"^CapBnd:\s0+$", status, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s1$", status, re.MULTILINE)
    assert machine.run("readlink", f"/proc/{pid}/ns/net") != machine.run("readlink", "/proc/1/ns/net")
    probe = "touch /var/lib/vdsm-hookd/x && rm /var/lib/vdsm-hookd/x; touch /etc/x /run/x /run/vdsm-hookd/x /sys/x"
    inside = ("nsenter", f"--target={pid}", "--mount", "setpriv", "--reuid=vdsm-hookd", "--clear-groups", "sh", "-c")
    refusals = machine.call(*inside, probe).stderr.splitlines()
    assert len(refusals) == 4
    assert all(line.endswith(("Read-only file system", "Permission denied")) for line in refusals), refusals


def test_a_support_report_has_something_to_carry(machine: Machine) -> None:
    lines = machine.run("cat", "/etc/sos/extras.d/vdsm-hookd").splitlines()
    commands = [line for line in lines if line and line[0] not in "#:"]
    globs = [line[1:] for line in lines if line.startswith(":")]
    assert len(commands) >= 5
    for command in commands:
        assert machine.run("sh", "-c", command).strip(), command
    for glob in globs:
        assert machine.run("sh", "-c", f"cat $(find {glob} -type f)").strip(), glob
