"""hookctl engine-config: the commands that make the Engine offer the enabled hooks' properties."""

from __future__ import annotations

import argparse
import sys

from vdsm_hookd import cli, client, engine_config
from vdsm_hookd.engine_config import Change
from vdsm_hookd.hookctl import configuration
from vdsm_hookd.hookctl.answer import read_file, show


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What engine-config printed, and the configuration that says which hooks are enabled."""
    parser.add_argument(
        "--from",
        dest="files",
        metavar="FILE",
        action="append",
        help="what `engine-config -g` printed, or - (default: standard input); may be repeated",
    )
    configuration.add_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or raises client.Refused for an input that is not understood and for a bad configuration."""
    if not arguments.files and sys.stdin.isatty():
        keys = f"{engine_config.DEVICE_KEY} and {engine_config.VM_KEY}"
        raise client.Refused("usage", f"pipe in what `engine-config -g` prints for {keys}, or name files with --from")
    raw = b"\n".join(read_file(file) for file in arguments.files or ["-"])
    wanted = engine_config.declared(configuration.load(arguments)[1].rules)
    try:
        if len(raw) > engine_config.MAX_INPUT:
            raise engine_config.NotUnderstood(f"more than {engine_config.MAX_INPUT} bytes")
        settings = engine_config.read(raw.decode())
        changes = [engine_config.merge(setting, wanted) for setting in settings]
    except (engine_config.NotUnderstood, UnicodeDecodeError) as error:
        raise client.Refused("bad-request", f"not understood, and so no command is given: {error}") from None
    notes = engine_config.notes(settings, wanted)
    result = {"changes": [_as_map(change) for change in changes], "notes": notes}
    show(arguments, result, lambda: "\n".join([*map(_text, changes), *_ending(changes), *(f"# {n}" for n in notes)]))
    return cli.OK


def _as_map(change: Change) -> dict[str, object]:
    return {
        "key": change.setting.key,
        "version": change.setting.version,
        "before": change.setting.value,
        "after": change.after,
        "added": change.added,
        "kept": change.kept,
        "command": change.command or None,
    }


def _text(change: Change) -> str:
    """A comment that says what is changed, then the command, so that all of it can be a shell's input."""
    what = [f"adds {', '.join(change.added)}"] if change.added else []
    what += [f"has {', '.join(change.kept)}"] if change.kept else []
    head = f"# {change.setting.key} {change.setting.version}: {'; '.join(what) or 'nothing is wanted'}"
    return f"{head}\n{change.command}" if change.command else head


def _ending(changes: list[Change]) -> list[str]:
    return ["# then: systemctl restart ovirt-engine"] if any(change.added for change in changes) else []
