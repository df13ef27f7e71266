"""From vdsm's file to the daemon and back, with the real binaries and libvirt's test driver."""

from __future__ import annotations

import os
import pwd
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lxml import etree

from tests.real.guest import sample
from tests.real.hookd import CONTROL_SOCKET, SHIM, hookctl, hookctl_json, link_hook
from tests.real.makers import MakeHookd
from tests.vdsm import HookRun, run_hooks

CREATE = "before_device_create"


def canonical(xml: str) -> bytes:
    result: bytes = etree.tostring(etree.fromstring(xml), method="c14n")
    return result


def only_line(run: HookRun) -> str:
    (line,) = run.stderr.splitlines()
    return line


def test_the_sample_vnic_joins_glitter(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    make_hookd(test_node)
    xml = sample("interface.xml")
    run = run_hooks(extnet, CREATE, xml, {"extnet": "glitter"})
    expected = xml.replace('<interface type="bridge">', '<interface type="network">')
    expected = expected.replace('<source bridge="rhevm"/>', '<source network="glitter"/>')
    assert (run.failed, run.stderr, run.litter, run.mode) == (False, "", (), 0o600)
    assert canonical(run.xml) == canonical(expected)


@pytest.mark.parametrize("event", ["before_device_create", "before_nic_hotplug", "before_device_migrate_destination"])
def test_a_network_that_is_not_there_stops_the_device(
    make_hookd: MakeHookd, test_node: str, extnet: Path, event: str
) -> None:
    make_hookd(test_node)
    xml = sample("interface.xml")
    run = run_hooks(extnet, event, xml, {"extnet": "nowhere"})
    assert run.returncodes == {"50_extnet": 2}
    assert only_line(run).startswith("extnet: network-missing: libvirt on this host has no network 'nowhere'")
    assert "52:54:00:59:F5:3F" in run.stderr
    assert (run.xml, run.litter) == (xml, ())


def test_an_update_is_not_stopped_and_the_log_says_what_is_wrong(
    make_hookd: MakeHookd, test_node: str, extnet: Path
) -> None:
    hookd = make_hookd(test_node)
    run = run_hooks(extnet, "before_update_device", sample("interface-update.xml"), {"extnet": "nowhere"})
    assert not run.failed
    assert '<source network="nowhere"/>' in run.xml
    hookd.wait_logged("has no network 'nowhere'; rewritten all the same")


def test_several_hooks_edit_one_file_in_turn(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    make_hookd(test_node)
    other = extnet / CREATE / "60_other"
    other.write_text('#!/bin/sh\nsed -i s/virtio/e1000/ "$_hook_domxml"\n')
    other.chmod(0o755)
    run = run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "glitter"})
    assert run.returncodes == {"50_extnet": 0, "60_other": 0}
    assert 'network="glitter"' in run.xml
    assert "e1000" in run.xml


def test_open_vswitch_drops_the_filter_and_the_log_says_so(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    hookd = make_hookd(test_node)
    run = run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "ovs-net/lab-42"})
    assert "filterref" not in run.xml
    assert '<source network="ovs-net" portgroup="lab-42"/>' in run.xml
    hookd.wait_logged("dropped filterref 'no-mac-spoofing'")


def test_without_the_property_a_dead_daemon_is_no_trouble(private_host: None, extnet: Path) -> None:
    xml = sample("interface.xml")
    run = run_hooks(extnet, CREATE, xml, {"extnetwork": "glitter"})
    assert (run.failed, run.stderr, run.xml) == (False, "", xml)


def test_with_the_property_a_dead_daemon_refuses_within_the_deadline(private_host: None, extnet: Path) -> None:
    xml = sample("interface.xml")
    run = run_hooks(extnet, CREATE, xml, {"extnet": "glitter"})
    assert run.returncodes == {"50_extnet": 2}
    assert only_line(run).startswith("extnet: daemon-unreachable: ")
    assert (run.xml, run.litter) == (xml, ())
    assert 4 < run.durations["50_extnet"] < 7


def test_hooks_run_as_the_vdsm_user(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    hookd = make_hookd(test_node)
    vdsm = pwd.getpwnam("vdsm")
    os.chown("/run/vdsm-hookd/hook.sock", vdsm.pw_uid, vdsm.pw_gid)
    run = run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "glitter"}, user="vdsm")
    assert (run.failed, run.stderr, run.uid, run.mode) == (False, "", vdsm.pw_uid, 0o600)
    assert 'network="glitter"' in run.xml
    assert hookd.ask("status")["requests"]["rewritten"] == 1


def test_any_other_user_is_refused(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    make_hookd(test_node)
    os.chmod("/run/vdsm-hookd/hook.sock", 0o666)
    run = run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "glitter"}, user=12345)
    assert run.returncodes == {"50_extnet": 2}
    assert only_line(run).startswith("extnet: not-permitted: uid 12345 may not use the hook socket")


def test_a_link_of_a_hook_that_nobody_knows_any_more_stops_no_vm(
    make_hookd: MakeHookd, test_node: str, hooks_dir: Path
) -> None:
    hookd = make_hookd(test_node)
    link_hook(hooks_dir, "vmfex", ["before_vm_start"])
    xml = sample("domain.xml")
    assert run_hooks(hooks_dir, "before_vm_start", xml, {"vmfex": "1"}).xml == xml
    hookd.kill()
    run = run_hooks(hooks_dir, "before_vm_start", xml)
    assert (run.failed, run.xml) == (False, xml)


def test_a_link_of_a_disabled_hook_stops_no_vm_though_the_daemon_is_dead(
    make_hookd: MakeHookd, test_node: str, hooks_dir: Path
) -> None:
    """nestedvt looks at every VM where it is enabled; the shim, which can't ask whether it is, has to know."""
    hookd = make_hookd(test_node)
    link_hook(hooks_dir, "nestedvt", ["before_vm_start"])
    hookd.kill()
    run = run_hooks(hooks_dir, "before_vm_start", sample("domain.xml"))
    assert (run.returncodes, run.xml) == ({"50_nestedvt": 0}, sample("domain.xml"))


@pytest.mark.parametrize("value", [b"\xff\xfe", b"a\nb: c", b"\x1b[31mred", b"x" * 100_000, "g\u2028".encode()])
def test_a_hostile_value_is_one_escaped_line_everywhere(
    make_hookd: MakeHookd, test_node: str, extnet: Path, value: bytes
) -> None:
    hookd = make_hookd(test_node)
    before = len(hookd.logged().splitlines())
    run = run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": value})
    assert run.returncodes == {"50_extnet": 2}
    assert only_line(run).isprintable()
    assert only_line(run).isascii()
    hookd.wait_logged("refused: extnet: ")
    new = hookd.logged().splitlines()[before:]
    assert len(new) == 1
    assert new[0].isprintable()


def test_64_at_once_each_get_their_own_answer(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    make_hookd(test_node)

    def call(number: int) -> tuple[int, HookRun]:
        xml = sample("interface.xml").replace("F5:3F", f"F5:{number:02X}")
        return number, run_hooks(extnet, CREATE, xml, {"extnet": ("glitter", "wifi-nat", "nowhere")[number % 3]})

    with ThreadPoolExecutor(32) as pool:
        for number, run in pool.map(call, range(64)):
            assert f"F5:{number:02X}" in run.xml
            name = ("glitter", "wifi-nat", "nowhere")[number % 3]
            assert run.failed == (name == "nowhere")
            assert (f'network="{name}"' in run.xml) == (name != "nowhere")


def test_the_operators_view(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    hookd = make_hookd(test_node)
    run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "glitter"})
    run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "nowhere"})
    status = hookctl_json("status")
    assert status["pid"] == int(Path(f"/proc/{hookd.pid}/stat").read_text().split()[0])
    assert status["libvirt"]["uri"] == test_node
    assert re.fullmatch(r"\d+\.\d+\.\d+", status["libvirt"]["version"])
    assert status["networks"] == {"active": 3, "inactive": 0}
    assert status["requests"] == {"unchanged": 0, "rewritten": 1, "refused": 1, "held": 0}
    assert "nowhere" in status["last_refusal"]["message"]
    text = hookctl().stdout
    assert "State: good" in text
    assert "1 rewritten, 1 refused" in text
    assert "\x1b" not in text
    networks = {network["name"]: network for network in hookctl_json("networks")}
    assert networks["ovs-net"]["virtualport"] == "openvswitch"
    assert [group["name"] for group in networks["ovs-net"]["portgroups"]] == ["engineering", "lab-42"]
    table = hookctl("networks").stdout.splitlines()
    legend = ["NAME", "STATE", "KIND", "BRIDGE", "PRESENT", "PORTGROUPS", "VNICS", "REWRITES"]
    assert table[0].split() == legend
    assert table[1].split()[:6] == ["glitter", "active", "bridge", "br-glitter", "no", "-"]
    assert table[1].split()[7] == "1"
    assert [line.split()[2] for line in table[1:]] == ["bridge", "openvswitch", "nat"]
    assert len(hookctl("networks", "--no-legend").stdout.splitlines()) == 3
    assert "Portgroups: engineering (default), lab-42" in hookctl("networks", "ovs-net").stdout
    assert [hook["name"] for hook in hookctl_json("hooks")["hooks"]] == ["extnet", "macspoof", "qemucmdline"]


def test_hookctls_exit_statuses(make_hookd: MakeHookd, test_node: str) -> None:
    assert hookctl("status").returncode == 69
    make_hookd(test_node)
    assert hookctl("status").returncode == 0
    assert hookctl("--socket", str(CONTROL_SOCKET), "status").returncode == 0
    assert hookctl("networks", "nowhere").returncode == 1
    assert hookctl("networks", "nowhere").stderr.startswith("hookctl: network-missing: ")
    assert hookctl("frobnicate").returncode == 64
    assert hookctl("--socket", "/nonexistent/control.sock").returncode == 69


def test_the_shim_under_test_is_static() -> None:
    header = SHIM.read_bytes()
    assert header[:4] == b"\x7fELF"
    assert b"ld-musl" not in header
    assert b"ld-linux" not in header
