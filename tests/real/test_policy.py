"""The policy from outside: hooks and rewrites through hook directories, reloads, and what operators see of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lxml import etree

from tests.real.guest import bootable, sample
from tests.real.hookd import ROOT, Hookd, hookctl, hookctl_json, link_hook
from tests.real.host import Bridge
from tests.real.makers import MakeBridge, MakeGuest, MakeHookd
from tests.real.wait import wait_for
from tests.vdsm import run_hooks

CREATE = "before_device_create"
REWRITE = """
[rewrite serial]
hook = site
events = before_vm_start
when = property serial matches ^[a-z0-9-]+$
xpath = /domain/sysinfo/system/entry[@name='serial']
text = {serial}
"""


def code(stderr: str) -> str:
    return stderr.split(": ")[1] if stderr else ""


def test_three_hooks_change_one_domain_that_then_really_starts(
    make_hookd: MakeHookd, hooks_dir: Path, make_bridge: MakeBridge, make_guest: MakeGuest
) -> None:
    make_bridge("ovirtmgmt")
    make_bridge("storage")
    make_hookd("network:///system", REWRITE)
    for number, hook in ((50, "macspoof"), (50, "qemucmdline"), (60, "site")):
        link_hook(hooks_dir, hook, ["before_vm_start"], number)
    properties = {"macspoof": "true", "qemu_cmdline": '["-name", "debug-threads=on"]', "serial": "abc-1"}
    run = run_hooks(hooks_dir, "before_vm_start", bootable(sample("domain.xml")), properties)
    assert run.returncodes == {"50_macspoof": 0, "50_qemucmdline": 0, "60_site": 0}, run.stderr
    guest = make_guest(run.xml)
    arguments = Path(f"/proc/{guest.pid}/cmdline").read_text().split("\0")
    assert "debug-threads=on" in arguments
    assert any("serial=abc-1" in argument for argument in arguments)
    assert "vdsm-no-mac-spoofing" not in guest.xml
    assert "clean-traffic" in guest.xml


def test_engine_networks_are_mapped_until_the_line_is_removed(
    make_hookd: MakeHookd, test_node: str, extnet: Path
) -> None:
    hookd = make_hookd(test_node, "[map]\nrhevm = glitter\n")
    xml = sample("interface.xml")
    for event in ("before_device_create", "before_nic_hotplug", "before_update_device"):
        assert '<source network="glitter"/>' in run_hooks(extnet, event, xml).xml
    assert '<source network="wifi-nat"/>' in run_hooks(extnet, CREATE, xml, {"extnet": "wifi-nat"}).xml
    other = xml.replace("rhevm", "storage")
    assert run_hooks(extnet, CREATE, other).xml == other
    hookd.kill()
    run = run_hooks(extnet, CREATE, xml)
    assert (run.returncodes, code(run.stderr), run.xml) == ({"50_extnet": 2}, "daemon-unreachable", xml)
    hookd.start()
    hookd.configuration.write_text("")
    assert hookctl("reload").returncode == 0
    hookd.kill()
    run = run_hooks(extnet, CREATE, xml)
    assert (run.failed, run.xml) == (False, xml)


def test_a_mapped_network_has_to_be_there(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    make_hookd(test_node, "[map]\nrhevm = nowhere\n")
    run = run_hooks(extnet, CREATE, sample("interface.xml"))
    assert code(run.stderr) == "network-missing"
    assert "[map]" in run.stderr
    assert not run_hooks(extnet, "before_update_device", sample("interface.xml")).failed


def test_reloads_under_load_give_each_request_one_policy(
    make_hookd: MakeHookd, test_node: str, hooks_dir: Path
) -> None:
    """Two rules in each of two versions: an answer that mixes them would show it."""
    rule = "[rewrite {0}]\nhook = site\nevents = before_vm_start\nwhen = property p present\n"
    rule += "xpath = /domain/{0}\ntext = {1}\n"
    versions = [rule.format("name", word) + rule.format("title", word) for word in ("red", "blue")]
    hookd = make_hookd(test_node, versions[0])
    link_hook(hooks_dir, "site", ["before_vm_start"])
    xml = "<domain><name>n</name><title>t</title></domain>"
    seen: list[str] = []
    wrong: list[str] = []

    def call() -> None:
        for _ in range(250):
            run = run_hooks(hooks_dir, "before_vm_start", xml, {"p": "1"})
            texts = {element.text for element in etree.fromstring(run.xml)}
            if run.failed or len(texts) != 1 or not texts <= {"red", "blue"}:
                wrong.append(run.stderr or run.xml)
            seen.extend(str(text) for text in texts)

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for flip in range(1, 51):
        hookd.configuration.write_text(versions[flip % 2])
        assert hookctl("reload").returncode == 0
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(seen) == 1000
    assert set(seen) == {"red", "blue"}


def test_the_policy_is_in_the_open(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node, "[hooks]\nenabled = extnet smbios\n" + REWRITE)
    rules = hookctl_json("policy")
    assert [rule["hook"] for rule in rules] == ["extnet", "smbios", "site"]
    assert rules[0]["source"] == f"hook extnet ({hookd.configuration}:2)"
    assert rules[2]["source"] == f"rewrite serial ({hookd.configuration}:4)"
    table = hookctl("policy").stdout.splitlines()
    assert len(table) == 4
    assert table[3].split()[:4] == ["3", "site", "serial", "before_vm_start"]
    assert [hook["name"] for hook in hookctl_json("hooks")["hooks"]] == ["extnet", "smbios", "site"]


def test_explain_tells_what_would_happen_and_changes_nothing(
    make_hookd: MakeHookd, test_node: str, tmp_path: Path
) -> None:
    make_hookd(test_node, REWRITE)
    file = tmp_path / "interface.xml"
    file.write_text(sample("interface.xml"))
    asked = hookctl("explain", "--event", CREATE, "--prop", "extnet=glitter", "--prop", "ifacemacspoof=1", str(file))
    assert asked.returncode == 0
    assert "Outcome: rewritten" in asked.stdout
    assert '+  <source network="glitter"/>' in asked.stdout
    refused = hookctl("explain", "--event", CREATE, "--hook", "extnet", "--prop", "extnet=nowhere", str(file))
    assert refused.returncode == 1
    assert "Reason: network-missing: " in refused.stdout
    (made,) = hookctl_json("explain", "--event", CREATE, "--hook", "extnet", "--prop", "extnet=glitter", str(file))
    assert (made["outcome"], made["network"]) == ("rewritten", "glitter")
    assert file.read_text() == sample("interface.xml")
    assert hookctl_json("status")["requests"]["rewritten"] == 0
    assert hookctl("explain", "--event", CREATE, str(tmp_path / "none")).returncode == 65
    assert hookctl("explain", "--event", CREATE, "--prop", "x", str(file)).returncode == 64


def test_check_finds_a_bad_configuration_and_a_rewrite_that_breaks_the_schema(
    make_hookd: MakeHookd, test_node: str, tmp_path: Path
) -> None:
    breaking = REWRITE + "[rewrite broken]\nhook = site\nevents = before_vm_start\nwhen = property b present\n"
    hookd = make_hookd(test_node, breaking + "xpath = /domain/cpu\nset match = sometimes\n")
    good = hookctl("check", "--config", str(hookd.configuration))
    assert good.returncode == 0, good.stdout + good.stderr
    file = tmp_path / "domain.xml"
    file.write_text(sample("domain.xml"))
    rehearse = ["check", "--config", str(hookd.configuration), "--event", "before_vm_start", "--hook", "site"]
    assert hookctl(*rehearse, "--prop", "serial=abc", str(file)).returncode == 0
    broken = hookctl(*rehearse, "--prop", "b=1", str(file))
    assert broken.returncode == 1
    assert broken.stdout.startswith(f"schema: {file} breaks libvirt's schema: <domain>: ")
    malformed = tmp_path / "malformed.xml"
    malformed.write_text("<domain>")
    refused = hookctl(*rehearse, str(malformed))
    assert (refused.returncode, refused.stderr.count("\n")) == (65, 1)
    hookd.configuration.write_text("[map]\nrhevm = a/b/c\n")
    bad = hookctl("check", "--config", str(hookd.configuration))
    assert bad.returncode == 65
    assert bad.stdout.startswith(f"bad-config: {hookd.configuration}:2 [map] rhevm = a/b/c: ")


@contextmanager
def installed(page: Path, folder: Path) -> Iterator[Path]:
    """The package that docs/writing-a-hook.md builds, installed into a folder of its own."""
    blocks = dict(re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
    source, site = folder / "source", folder / "site"
    source.mkdir()
    for name, text in blocks.items():
        (source / name).write_text(text)
    assert set(blocks) == {"vlanhook.py", "pyproject.toml"}
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(site),
    ]
    subprocess.run([*pip, str(source)], check=True, capture_output=True, timeout=120)
    yield site


@pytest.mark.own_process
def test_the_documented_third_party_hook_works_and_one_that_raises_costs_one_request(
    private_host: None, tmp_path: Path, test_node: str, hooks_dir: Path
) -> None:
    with installed(ROOT / "docs" / "writing-a-hook.md", tmp_path) as site:
        (site / "brokenhook.py").write_text(
            "from vdsm_hookd.hook import Hook\n"
            "HOOK = Hook('broken', ('broken',), {'before_device_create': lambda call: 1 // 0})\n"
        )
        info = site / "brokenhook-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brokenhook\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[vdsm_hookd.hooks]\nbroken = brokenhook:HOOK\n")
        configuration = "[hooks]\nenabled = extnet vlan broken\n"
        hookd = Hookd(tmp_path, test_node, configuration, environment=[f"PYTHONPATH={site}"])
        hookd.start()
        try:
            link_hook(hooks_dir, "vlan", [CREATE])
            tagged = run_hooks(hooks_dir, CREATE, sample("interface.xml"), {"vlan": "42"})
            assert not tagged.failed, tagged.stderr
            assert '<vlan><tag id="42"/></vlan>' in tagged.xml
            bad = run_hooks(hooks_dir, CREATE, sample("interface.xml"), {"vlan": "4095"})
            assert bad.stderr.startswith("vlan: bad-property: vlan='4095' is not a VLAN")
            link_hook(hooks_dir, "broken", [CREATE], number=60)
            raised = run_hooks(hooks_dir, CREATE, sample("interface.xml"), {"broken": "1"})
            assert raised.returncodes == {"50_vlan": 0, "60_broken": 2}
            assert "broken: internal: hook broken failed: ZeroDivisionError" in raised.stderr
            hookd.wait_logged("Traceback")
            assert not run_hooks(hooks_dir, CREATE, sample("interface.xml"), {"vlan": "7"}).failed
        finally:
            hookd.close()


@pytest.mark.parametrize("hook", ["extnet", "macspoof"])
def test_a_disabled_hook_refuses_what_asks_for_it(
    make_hookd: MakeHookd, test_node: str, hooks_dir: Path, bridge: Bridge, hook: str
) -> None:
    make_hookd(test_node, "[hooks]\nenabled = qemucmdline\n")
    link_hook(hooks_dir, hook, [CREATE])
    name = {"extnet": "extnet", "macspoof": "ifacemacspoof"}[hook]
    assert code(run_hooks(hooks_dir, CREATE, sample("interface.xml"), {name: "true"}).stderr) == "unknown-hook"
    assert not run_hooks(hooks_dir, CREATE, sample("interface.xml")).failed


def test_a_wake_table_that_can_not_be_written_stops_the_reload(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node)
    table = Path("/var/lib/vdsm-hookd/wake")
    assert "extnet before_nic_hotplug extnet" in table.read_text()
    (table.parent / "wake.new").mkdir()
    try:
        hookd.configuration.write_text("[map]\nrhevm = glitter\n")
        refused = hookctl("reload")
        assert refused.returncode == 65
        assert "wake table can't be written" in refused.stderr
        assert not hookctl_json("hooks")["hooks"][0]["always"]
    finally:
        (table.parent / "wake.new").rmdir()
    os.kill(hookd.pid, signal.SIGHUP)
    wait_for(lambda: hookctl_json("hooks")["hooks"][0]["always"], "the new configuration")
