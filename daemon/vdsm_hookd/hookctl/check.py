"""hookctl check: is the configuration good, what does it make of a document, and is the host ready to serve it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable

from vdsm_hookd import cli, client, document, hook_directories, registry, schema
from vdsm_hookd.config import Config
from vdsm_hookd.finding import Finding
from vdsm_hookd.hookctl import hooks, readers, rehearsal
from vdsm_hookd.hookctl.answer import finding_lines, read_file, show
from vdsm_hookd.ini import ConfigError
from vdsm_hookd.policy import Policy

Check = Callable[[], Iterable[Finding]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which configuration, whether the host too, and the call to rehearse."""
    parser.add_argument("--host", action="store_true", help="is the host ready to serve the hooks?")
    hooks.add_directories(parser)
    rehearsal.add_arguments(parser, needed=False)


def run(arguments: argparse.Namespace) -> int:
    """Returns 1 for a finding, 65 for a bad configuration."""
    if arguments.file is not None and arguments.event is None:
        raise client.Refused("usage", "a FILE needs --event")
    try:
        config, policy = registry.configure(arguments.config)
    except ConfigError as error:
        remedy = "correct it; vdsm-hookd.conf(5) says how"
        bad = [Finding("bad-config", str(problem.origin), problem.reason, remedy) for problem in error.problems]
        _show(arguments, ["configuration"], 0, bad)
        return cli.EX_DATAERR
    checks: dict[str, Check] = {}
    if arguments.host:
        checks.update(_host_checks(arguments, config, policy))
    if arguments.file is not None:
        checks["document"] = lambda: _document(arguments)
    findings = [*readers.unreadable(config), *(finding for check in checks.values() for finding in check())]
    _show(arguments, ["configuration", *checks], len(policy.rules), findings)
    return cli.FINDING if findings else cli.OK


def _show(arguments: argparse.Namespace, checked: Sequence[str], rules: int, findings: Sequence[Finding]) -> None:
    result = {"checked": checked, "rules": rules, "findings": [finding._asdict() for finding in findings]}
    good = f"{arguments.config}: good, {rules} rules; found nothing wrong with: {', '.join(checked)}"
    show(arguments, result, lambda: finding_lines(findings) or good)


def _host_checks(arguments: argparse.Namespace, config: Config, policy: Policy) -> Mapping[str, Check]:
    from vdsm_hookd import host_check  # and with it libvirt, which nothing else here needs

    events = {hook["name"]: hook["events"] for hook in policy.hooks()}
    return {
        "users": lambda: host_check.users(config),
        "units": host_check.units,
        "sockets": lambda: host_check.sockets(config),
        "daemon": lambda: host_check.daemon(arguments.socket),
        "wake table": lambda: host_check.wake(config, policy),
        "hook directories": lambda: hook_directories.inspect(events, arguments.directories, arguments.shim)[1],
        "libvirt": lambda: host_check.libvirt(config, policy),
        "schema": host_check.schemas,
    }


def _document(arguments: argparse.Namespace) -> list[Finding]:
    """What is refused, and what the rewritten document breaks in libvirt's schema that the old one did not."""
    xml = read_file(arguments.file)
    decisions = rehearsal.rehearse(arguments, xml)
    for made in decisions:
        if made["outcome"] == "refused":
            return [Finding(made["code"], f"{made['hook']}:", made["what"], made["remedy"])]
    try:
        broken = schema.broken(xml, decisions[-1]["document"] if decisions else xml)
    except document.BadDocument as error:
        raise client.Refused("bad-request", f"{arguments.file}: {error}") from None
    except (FileNotFoundError, LookupError) as error:
        raise client.Refused("no-schema", str(error)) from None
    remedy = "correct the rewrite: libvirt may refuse the document"
    return [Finding("schema", arguments.file, f"breaks libvirt's schema: {error}", remedy) for error in broken]
