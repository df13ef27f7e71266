"""hookctl engine-config as a process: from what engine-config printed to a script that a shell can run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PRINTED = """\
CustomDeviceProperties:  version: 4.6
CustomDeviceProperties: {type=interface;prop={SecurityGroups=^(?:a'b|)$}} version: 4.7
UserDefinedVMProperties: macspoof=^true$ version: 4.7
"""


def hookctl(*arguments: str, stdin: str | bytes | int = "") -> subprocess.CompletedProcess[bytes]:
    raw = stdin.encode() if isinstance(stdin, str) else stdin
    given: dict[str, Any] = {"stdin": raw} if isinstance(raw, int) else {"input": raw}
    command = [sys.executable, "-c", "import sys; from vdsm_hookd.hookctl import main; sys.exit(main())"]
    return subprocess.run([*command, *arguments], capture_output=True, timeout=60, check=False, **given)


@pytest.fixture
def config(tmp_path: Path) -> str:
    file = tmp_path / "vdsm-hookd.conf"
    file.write_text("[hooks]\nenabled = extnet macspoof\n")
    return f"--config={file}"


def test_what_is_printed_is_a_script_that_only_adds(config: str, tmp_path: Path) -> None:
    run = hookctl("engine-config", config, stdin=PRINTED)
    assert (run.returncode, run.stderr) == (0, b"")
    script = b"engine-config() { printf '%s\\n' \"$@\"; }\n" + run.stdout
    ran = subprocess.run(["bash", "-eu"], input=script, capture_output=True, check=True)
    added = "extnet=^[^/]+(/[^/]+)?$;ifacemacspoof=^(true|false)$"
    assert ran.stdout.decode().splitlines() == [
        "-s",
        f"CustomDeviceProperties={{type=interface;prop={{{added}}}}}",
        "--cver=4.6",
        "-s",
        f"CustomDeviceProperties={{type=interface;prop={{SecurityGroups=^(?:a'b|)$;{added}}}}}",
        "--cver=4.7",
    ]
    text = run.stdout.decode()
    assert "# CustomDeviceProperties 4.7: adds extnet, ifacemacspoof\n" in text
    assert "# UserDefinedVMProperties 4.7: has macspoof\n" in text
    assert "macspoof keeps its own ^true$" in text
    assert "# then: systemctl restart ovirt-engine\n" in text


def test_json(config: str, tmp_path: Path) -> None:
    devices, vms = PRINTED.splitlines()[1:]
    for name, line in (("devices", devices), ("vms", vms)):
        (tmp_path / name).write_text(line + "\n")
    run = hookctl("engine-config", config, "--json", f"--from={tmp_path / 'devices'}", f"--from={tmp_path / 'vms'}")
    found = json.loads(run.stdout)
    assert run.returncode == 0
    assert found.keys() == {"changes", "notes"}
    device, vm = found["changes"]
    assert (device["key"], device["version"], list(device["added"])) == (
        "CustomDeviceProperties",
        "4.7",
        ["extnet", "ifacemacspoof"],
    )
    assert device["command"].startswith("engine-config -s CustomDeviceProperties='{type=interface;")
    assert (vm["before"], vm["after"], vm["added"], vm["command"]) == ("macspoof=^true$", "macspoof=^true$", {}, None)
    assert vm["kept"] == {"macspoof": "^true$"}


def test_a_rewrites_property_has_to_say_where_it_is_set(tmp_path: Path) -> None:
    file = tmp_path / "vdsm-hookd.conf"
    rule = "[hooks]\nenabled =\n[rewrite x]\nhook = x\nevents = before_vm_start\nwhen = property p present\n"
    rule += "xpath = /domain/cpu\nset a = b\n"
    empty = "UserDefinedVMProperties:  version: 4.8\n"
    file.write_text(rule)
    run = hookctl("engine-config", f"--config={file}", stdin=empty)
    assert b"engine-config -s" not in run.stdout
    assert f"# p left out: rewrite x ({file}:3)".encode() in run.stdout
    file.write_text(rule + "vm_property p = ^[0-9]$\n")
    run = hookctl("engine-config", f"--config={file}", stdin=empty)
    assert b"engine-config -s UserDefinedVMProperties='p=^[0-9]$' --cver=4.8\n" in run.stdout


@pytest.mark.parametrize(
    "printed",
    [b"", b"nonsense\n", PRINTED.encode() + b"\xff\n", PRINTED.encode() + b"cut o", b"x" * (1 << 20) + b"\n"],
    ids=["nothing", "nonsense", "not UTF-8", "one line too many", "too much"],
)
def test_what_is_not_understood_is_65_and_no_command(config: str, printed: bytes) -> None:
    run = hookctl("engine-config", config, stdin=printed)
    assert (run.returncode, run.stdout) == (65, b"")
    assert run.stderr.startswith(b"hookctl: bad-request: not understood, and so no command is given: ")
    assert run.stderr.count(b"\n") == 1


def test_other_ways_to_ask_wrongly(config: str, tmp_path: Path) -> None:
    assert hookctl("engine-config", config, f"--from={tmp_path / 'none'}").returncode == 65
    assert hookctl("engine-config", f"--config={tmp_path / 'none'}", stdin=PRINTED).returncode == 65
    terminal, other_end = os.openpty()
    try:
        run = hookctl("engine-config", config, stdin=other_end)
    finally:
        os.close(terminal)
        os.close(other_end)
    assert (run.returncode, b"pipe in" in run.stderr) == (64, True)
