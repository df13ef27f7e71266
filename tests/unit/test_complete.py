"""What may come next on a hookctl command line, from the parsers alone and with a daemon's answers."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import pytest

from vdsm_hookd import cli, client, hookctl
from vdsm_hookd.hookctl import complete, networks

Capture = pytest.CaptureFixture[str]
ANSWERS: Mapping[str, Any] = {
    "hooks": [{"name": "site", "events": ["before_vm_start", "before_vm_cont"], "properties": ["p"]}],
    "networks": [{"name": "glitter"}, {"name": "gold"}],
    "history": {"records": [{"id": 7, "vm_id": "7a9c"}, {"id": 8, "vm_id": "7a9c"}, {"id": 9, "vm_id": ""}]},
}


@pytest.fixture(params=["--socket=/nonexistent", "--socket /nonexistent"])
def nobody(request: pytest.FixtureRequest) -> list[str]:
    """Options that lead to no daemon."""
    return str(request.param).split()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A daemon that answers, on every socket; the sockets that it was asked on."""
    sockets: list[str] = []

    def answer(path: str, verb: str, arguments: Mapping[str, Any], timeout: float = 5.0) -> Any:
        sockets.append(path)
        return ANSWERS[verb]

    monkeypatch.setattr(client, "ask", answer)
    return sockets


def completed(capsys: Capture, *words: str) -> list[str]:
    assert hookctl.main(["complete", "--", *words]) == cli.OK
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pol"], ["policy"]),
        (["policy", "--no"], ["--no-legend"]),
        (["--json", "policy", "--no"], ["--no-legend"]),
        (["explain", "--against", ""], ["configuration", "daemon"]),
        (["explain", "--against=d"], ["--against=daemon"]),
        (["explain", "--against", "=", "d"], ["daemon"]),
        (["explain", "--against", "="], ["configuration", "daemon"]),
        (["explain", "--hook", "x"], []),
        (["explain", "--prop", "v"], ["vmId="]),
        (["networks", ""], []),
        (["networks", "a", ""], []),
        (["none-such", ""], []),
        (["policy", "--none-such=x"], []),
    ],
)
def test_without_a_daemon(capsys: Capture, nobody: list[str], words: list[str], expected: list[str]) -> None:
    assert completed(capsys, *nobody, *words) == expected


def test_all_verbs_but_the_one_for_the_shell(capsys: Capture) -> None:
    assert completed(capsys, "") == sorted({*hookctl.VERBS} - {"complete"})
    assert completed(capsys) == completed(capsys, "")


@pytest.mark.parametrize("words", [["explain", ""], ["--socket", ""], ["check", "--config", "x"], ["check", "--shim="]])
def test_the_name_of_a_file(words: list[str]) -> None:
    assert hookctl.main(["complete", "--", *words]) == cli.FINDING


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["networks", "gl"], ["glitter"]),
        (["explain", "--event", ""], ["before_vm_cont", "before_vm_start"]),
        (["explain", "--event=before_vm_s"], ["--event=before_vm_start"]),
        (["explain", "--hook", ""], ["site"]),
        (["explain", "--prop", ""], ["p=", "vmId="]),
        (["explain", "--prop", "extnet", "=", "g"], ["glitter", "gold"]),
        (["explain", "--prop", "p", "=", "g"], []),
        (["explain", "--prop", "p=1", "--prop", "p"], ["p="]),
    ],
)
def test_with_a_daemon(capsys: Capture, asked: list[str], words: list[str], expected: list[str]) -> None:
    assert completed(capsys, *words) == expected
    assert set(asked) == {hookctl.DEFAULT_SOCKET} or words[-1] == "g"


def test_the_daemon_of_the_command_line_is_asked(capsys: Capture, asked: list[str]) -> None:
    completed(capsys, "--socket", "/a", "networks", "--socket=/b", "")
    completed(capsys, "networks", "--socket", "/c", "")
    assert asked == ["/b", "/c"]


def test_what_the_daemon_remembers(capsys: Capture, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def remembering(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--vm", metavar="ID")
        parser.add_argument("-n", metavar="N")
        parser.add_argument("id", metavar="ID")

    monkeypatch.setattr(networks, "add_arguments", remembering)
    assert completed(capsys, "networks", "--vm", "") == ["7a9c"]
    assert completed(capsys, "networks", "--vm", "7a9c", "") == ["7", "8", "9"]
    assert completed(capsys, "networks", "-n", "") == []


def test_a_daemon_of_another_version_is_no_daemon(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ask", lambda *_arguments: {"networks": []})
    assert completed(capsys, "networks", "") == []
    assert complete.run(argparse.Namespace(words=[])) == cli.OK
