"""Remedies are pasted into a root shell: each name in one is one word, whatever it is made of."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests import documents
from vdsm_hookd import hook_directories, host_check, networks
from vdsm_hookd.decision import Decision, Request, decide
from vdsm_hookd.hook import MAX_WORD, shell_word
from vdsm_hookd.hooks import extnet
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.policy import Policy, Rule

NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1, max_size=40)
HOSTILE = [
    ";vdsmdummy;",
    "$(id)",
    "`id`",
    "a b",
    "it's",
    '"',
    "-x",
    "--config",
    "a\nb",
    "\x1b[31m",
    "вниз-Netz",
    "!!",
    "a\\",
]
COMMANDS = ("virsh", "rm", "chmod", "ln", "mkdir", "rpm", "hookctl")


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of commands that do no more than to print their arguments."""
    folder = tmp_path_factory.mktemp("bin")
    for name in COMMANDS:
        program = folder / name
        program.write_text('#!/bin/bash\nprintf "%s\\0" "${0##*/}" "$@"; printf "\\0"\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return folder


def run(command: str, recorder: Path) -> list[list[str]]:
    """The commands that bash runs for it, each with its arguments; nothing else can be run."""
    done = subprocess.run(
        ["/bin/bash", "-c", command], env={"PATH": str(recorder)}, capture_output=True, timeout=10, check=False, cwd="/"
    )
    assert (done.returncode, done.stderr) == (0, b""), (command, done.stderr)
    return [os.fsdecode(call).split("\0") for call in done.stdout.split(b"\0\0") if call]


def commands(text: str) -> str:
    """The commands of a remedy: what stands in its outermost brackets, from a command's name on."""
    found = re.search(
        rf"\b({'|'.join(COMMANDS)}) .*?(?=\), or correct|\)$|\)(?: names|, then)|, with its VLAN|$)", text
    )
    assert found, text
    return found[0]


@given(NAMES)
@settings(max_examples=60, deadline=None)
def test_a_word_is_one_word(name: str) -> None:
    word = shell_word(name, "NAME")
    assert word.isascii()
    assert word.isprintable()
    assert len(word) <= MAX_WORD
    if word != "NAME":
        done = subprocess.run(
            ["/bin/bash", "-c", f"echo() {{ printf '%s' \"${{@: -1}}\"; }}; echo {word}"], capture_output=True
        )
        assert done.stdout == name.encode()


def refused(value: str, known: NetworkView) -> Decision:
    policy = Policy([Rule(extnet.HOOK, extnet.Options(), "here")])
    xml = b'<interface type="bridge"><source bridge="b"/></interface>'
    return decide(Request("before_device_create", "extnet", {"extnet": value.encode()}, xml), policy, known)


def network(name: str, active: bool, inner: str = "") -> networks.Network:
    parsed = networks.parse(f"<network>{inner}</network>", active=active, persistent=True, autostart=True)
    return networks.Network(**{**parsed.__dict__, "name": name})


@pytest.mark.parametrize("name", HOSTILE)
def test_what_starts_a_network_starts_that_one(name: str, recorder: Path) -> None:
    made = refused(name, documents.view(network(name.strip(), active=False)))
    if "\n" in name or "\x1b" in name:
        assert made.code == "bad-property"
        return
    assert made.code == "network-inactive"
    named = ["--", name] if name.startswith("-") else [name]
    assert run(commands(made.remedy), recorder) == [["virsh", "net-start", *named], ["virsh", "net-autostart", *named]]


@pytest.mark.parametrize("name", [name for name in HOSTILE if name.isprintable()])
def test_what_adds_a_portgroup_adds_that_one(name: str, recorder: Path) -> None:
    made = refused(f"net/{name}", documents.view(network("net", active=True)))
    assert made.code == "portgroup-missing"
    ((*words, xml),) = run(commands(made.remedy), recorder)
    assert words == ["virsh", "net-update", "--live", "--config", "net", "add", "portgroup"]
    added = networks.parse(f"<network>{xml}</network>", active=True, persistent=True, autostart=True)
    assert [group.name for group in added.portgroups] == [name]


@example("a" * 255)
@example("ü" * 120)
@given(NAMES)
@settings(max_examples=30, deadline=None)
def test_a_refusal_keeps_its_remedy_whole(name: str) -> None:
    for known in (documents.view(), documents.view(network(name.strip(" \t"), active=False))):
        made = refused(name, known)
        assert len(f"extnet: {made.message}") < 1024


def test_a_portgroup_behind_a_colon_is_hinted_at() -> None:
    known = documents.view(network("ovs-network", True, "<portgroup name='vlan-20'/>"))
    made = refused("ovs-network:vlan-20", known)
    assert made.code == "network-missing"
    assert "write 'ovs-network/vlan-20' for portgroup 'vlan-20' of network 'ovs-network'" in made.remedy
    for value in ("ovs-network:none", "nowhere:vlan-20", "ovs-network:"):
        assert "write" not in refused(value, known).remedy
    both = documents.view(*known.by_name.values(), network("ovs-network:vlan-20", True))
    assert refused("ovs-network:vlan-20", both).outcome == "rewritten"


@pytest.mark.parametrize("name", HOSTILE)
def test_the_host_checks_remedies_name_what_they_mean(name: str, recorder: Path, tmp_path: Path) -> None:
    known = network(name, active=True, inner="<bridge name='no-such-bridge'/>")
    (finding,) = host_check._bridges(documents.view(known))
    named = ["--", name] if name.startswith("-") else [name]
    assert run(commands(finding.remedy), recorder) == [["virsh", "net-destroy", *named], ["virsh", "net-start", *named]]
    (tmp_path / "before_vm_start").mkdir()
    script = tmp_path / "before_vm_start" / f"50_{name}"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    _programs, found = hook_directories.inspect({name: ["before_vm_start"]}, str(tmp_path), "/shim")
    (stock,) = (finding for finding in found if finding.code == "stock-script")
    calls = run(stock.remedy.partition("(")[2].partition(" names its package")[0], recorder)
    calls += run(stock.remedy.partition("then ")[2], recorder)
    assert calls == [
        ["rpm", "-qf", str(script)],
        ["mkdir", "-p", str(script.parent)],
        ["ln", "-sfn", "/shim", str(script)],
    ]
