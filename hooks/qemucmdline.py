"""qemucmdline: arguments that libvirt passes to QEMU as they are.

    qemu_cmdline=["-cdrom", "/path/to.iso", "-no-hpet"]      a JSON list of strings

They follow the arguments that the domain has already. Whoever may set this property commands the VM's QEMU process: it
runs as qemu under SELinux, and can be told to open whatever that may open. `[qemucmdline] allow` and `deny` limit it to
options by name. QEMU takes `-name` and `--name` for the same. Without QEMU's own tables nobody can tell a value from an
option, so what begins with `-` is an option; the argument behind one counts as its value, and every other is what it is
to QEMU, a disk image, and needs `-hda`. `-readconfig`, `-set` and `-plugin` can do what other options can: prefer a
short `allow`, of options that take a value, to a long `deny`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from vdsm_hookd import options, tree
from vdsm_hookd.hook import Call, Hook, Refusal, bad_property, quote
from vdsm_hookd.options import option

MAX_JSON = 128 * 1024
"""Bytes of the property's value; the kernel hands no longer one to a process."""


@dataclass(frozen=True)
class Options:
    """Which of QEMU's options a VM may bring along."""

    allow: options.Globs = option("*", options.globs, "names and globs of the QEMU options in qemu_cmdline, as -device")
    deny: options.Globs = option("", options.globs, "names and globs that it may not hold, though allowed above")


def pass_arguments(call: Call) -> bool:
    """before_vm_start."""
    root, arguments = tree.domain(call), _arguments(call)
    for name in _option_names(arguments):
        if not _matches(call.options.allow, name) or _matches(call.options.deny, name):
            raise Refusal(
                "option-not-allowed",
                f"[qemucmdline] allow and deny keep out QEMU's option {quote(name)}",
                "take it out of the VM's qemu_cmdline, or change the policy in vdsm-hookd.conf",
            )
    tree.extend_qemu_commandline(root, arguments)
    return True


HOOK = Hook(
    name="qemucmdline",
    properties=("qemu_cmdline",),
    events={"before_vm_start": pass_arguments},
    options=Options,
    vm_properties={"qemu_cmdline": r"^\[.*\]$"},
)


def _matches(patterns: options.Globs, name: str) -> bool:
    """A policy may name an option as QEMU's manual does, with its dash, or without."""
    return patterns.match(name) or patterns.match(name[1:])


def _arguments(call: Call) -> list[str]:
    raw = call.properties["qemu_cmdline"]
    if len(raw) > MAX_JSON:
        raise bad_property(call, "qemu_cmdline", f"is longer than {MAX_JSON} bytes")
    try:
        # No number is wanted, so none is computed: a long one would take its time.
        value = json.loads(raw.decode(), parse_int=_no_number, parse_float=_no_number, parse_constant=_no_number)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(isinstance(argument, str) for argument in value):
        raise bad_property(call, "qemu_cmdline", "is not a JSON list of strings")
    if not all(map(tree.xml_can_carry, value)):
        raise bad_property(call, "qemu_cmdline", "holds a character that XML can't carry")
    return value


def _no_number(_text: str) -> None:
    raise ValueError


def _option_names(arguments: list[str]) -> Iterator[str]:
    """The options, each by its name with one dash."""
    behind_option = False
    for argument in arguments:
        is_option = argument.startswith("-")
        if is_option:
            yield argument[1:] if argument.startswith("--") else argument
        elif not behind_option:
            yield "-hda"
        behind_option = is_option
