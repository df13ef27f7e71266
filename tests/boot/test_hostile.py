"""Hostile values on their way into a real journal, from the installed daemon under its unit."""

from __future__ import annotations

import json

from tests import faults
from tests.boot.hooks import run_hook
from tests.boot.machine import Machine
from tests.real.test_hostile import CODES, VALUES
from tests.real.wait import wait_for

UNIT = "_SYSTEMD_UNIT=vdsm-hookd.service"
FIELDS = {"MESSAGE", "PRIORITY", "MESSAGE_ID", "HOOK", "EVENT", "VM_ID", "VM_NAME", "MAC", "NETWORK"}
FIELDS |= {"OUTCOME", "CODE", "RULE", "DURATION_US"}


def refusals(machine: Machine) -> list[dict[str, object]]:
    machine.run("journalctl", "--sync")
    lines = machine.run("journalctl", "--boot", "--output=json", "--all", UNIT, "OUTCOME=refused").splitlines()
    return [json.loads(line) for line in lines]


def test_no_value_becomes_a_field_of_the_journal(machine: Machine) -> None:
    before = len(refusals(machine))
    for kind, value in VALUES.items():
        text = value.replace(b"\0", b"\x01").decode("utf-8", "surrogateescape")
        done = run_hook(machine, properties={"extnet": text})
        assert done.code in CODES, kind
        assert done.unchanged, kind
    wait_for(lambda: len(refusals(machine)) == before + len(VALUES), "all of them in the journal")
    for record in refusals(machine)[before:]:
        own = {name: value for name, value in record.items() if not name.startswith(("_", "SYSLOG_"))}
        assert own.keys() <= FIELDS, own.keys() - FIELDS
        assert own["PRIORITY"] == "4"
        assert own["CODE"] in CODES
        # What can't be printed would be an array of numbers, a field that is there twice one of texts.
        for name, field in own.items():
            assert isinstance(field, str), name
            assert field.isprintable(), (name, field)
    faults.held("hostile-properties", len(VALUES), "no injection into the journal's fields")
