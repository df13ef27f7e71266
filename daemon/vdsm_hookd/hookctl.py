"""hookctl: ask the daemon what it knows, and tell it to reload."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from vdsm_hookd import __version__, cli, client, render

DEFAULT_SOCKET = "/run/vdsm-hookd/control.sock"
DEFAULT_CONFIG = "/etc/vdsm-hookd/vdsm-hookd.conf"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0 yes, 1 no, 64 usage, 65 bad data, 69 unreachable, 77 not permitted."""
    arguments = _parse(argv)
    try:
        return arguments.run(arguments)  # type: ignore[no-any-return]
    except client.Unreachable as error:
        print(f"hookctl: no daemon answers on {error} (systemctl status vdsm-hookd says more)", file=sys.stderr)
        return cli.EX_UNAVAILABLE
    except client.NotPermitted as error:
        print(f"hookctl: not permitted: {error}", file=sys.stderr)
        return cli.EX_NOPERM
    except client.Refused as error:
        print(f"hookctl: {error.code}: {error}", file=sys.stderr)
        return {"usage": cli.EX_USAGE, "bad-config": cli.EX_DATAERR, "bad-request": cli.EX_DATAERR}.get(
            error.code, cli.FINDING
        )


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser(prog="hookctl", description="Ask vdsm-hookd what it knows.")
    parser.add_argument("--version", action="version", version=f"hookctl {__version__}")
    _add_common_options(parser, flag=False, socket=DEFAULT_SOCKET)
    parser.set_defaults(run=_status)
    verbs = parser.add_subparsers(metavar="VERB", parser_class=cli.Parser)

    def verb(name: str, run: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=about, description=about)
        # Without defaults of their own, or they would undo an option that stands before the verb.
        _add_common_options(added, flag=argparse.SUPPRESS, socket=argparse.SUPPRESS)
        added.set_defaults(run=run)
        return added

    verb("status", _status, "how the daemon is; exit 1 when it is degraded")
    networks = verb("networks", _networks, "the libvirt networks that the daemon knows")
    networks.add_argument("name", metavar="NAME", nargs="?", help="show this one whole")
    verb("hooks", _hooks, "which hooks serve which events on which properties")
    verb("policy", _policy, "the rules in force, in their order, and where each comes from")
    explain = verb("explain", _explain, "what would happen to a document; changes nothing, exit 1 when it is refused")
    check = verb("check", _check, "is the configuration good; with FILE, is the rewritten document good for libvirt")
    check.add_argument(
        "--config", metavar="FILE", default=DEFAULT_CONFIG, help="the configuration (default: %(default)s)"
    )
    for rehearsal, files in ((explain, None), (check, "?")):
        rehearsal.add_argument("--event", metavar="EVENT", required=files is None, help="such as before_device_create")
        rehearsal.add_argument("--hook", metavar="HOOK", help="one hook (default: all that serve the event, in order)")
        rehearsal.add_argument("--prop", metavar="NAME=VALUE", action="append", default=[], help="a custom property")
        rehearsal.add_argument("file", metavar="FILE", nargs=files, help="the XML, or - for standard input")
    verb("reload", _reload, "read the configuration again: all of it, or none")
    return parser.parse_args(argv)


def _add_common_options(parser: argparse.ArgumentParser, flag: object, socket: str) -> None:
    """The options of every verb; `flag` and `socket` are their defaults."""
    parser.add_argument("--json", action="store_true", default=flag, help="print JSON with stable keys")
    parser.add_argument("--no-legend", action="store_true", default=flag, help="print no table heads")
    parser.add_argument("--socket", metavar="PATH", default=socket, help=f"the control socket ({DEFAULT_SOCKET})")


def _ask(arguments: argparse.Namespace, verb: str, **details: Any) -> Any:
    return client.ask(arguments.socket, verb, details)


def _print(arguments: argparse.Namespace, result: Any, text: Callable[[], str]) -> None:
    """The result itself as JSON, or the text for people."""
    print(json.dumps(result, indent=2, ensure_ascii=False) if arguments.json else text())


def _status(arguments: argparse.Namespace) -> int:
    status: Mapping[str, Any] = _ask(arguments, "status")
    _print(arguments, status, lambda: _status_text(status))
    return cli.FINDING if status["degraded"] else cli.OK


def _status_text(status: Mapping[str, Any]) -> str:
    colour = render.colour_wanted()
    libvirt, networks, requests = status["libvirt"], status["networks"], status["requests"]
    loaded = status["configuration"]
    state = (
        render.paint(f"degraded: {status['degraded']}", "bad", colour)
        if status["degraded"]
        else render.paint("good", "good", colour)
    )
    link = "connected" if libvirt["connected"] else render.paint("out of reach", "bad", colour)
    pairs = [
        ("vdsm-hookd", f"{status['version']}, pid {status['pid']}, up since {render.moment(status['started_at'])}"),
        ("State", state),
        ("libvirt", f"{libvirt['uri']}, {link} since {render.moment(libvirt['since'])}"),
        ("Networks read", render.moment(libvirt["synced_at"])),
        ("Networks", f"{networks['active']} active, {networks['inactive']} inactive"),
        ("Hooks", " ".join(status["hooks"])),
        ("Configuration", f"{', '.join(loaded['files']) or 'defaults'}, loaded {render.moment(loaded['loaded_at'])}"),
        ("Requests", ", ".join(f"{count} {outcome}" for outcome, count in requests.items())),
    ]
    if refusal := status["last_refusal"]:
        text = f"{render.moment(refusal['at'])} {refusal['event']}: {refusal['hook']}: {refusal['message']}"
        pairs.append(("Last refusal", text))
    return render.facts(pairs)


def _networks(arguments: argparse.Namespace) -> int:
    details = {"name": arguments.name} if arguments.name is not None else {}
    networks: list[Mapping[str, Any]] = _ask(arguments, "networks", **details)
    _print(
        arguments,
        networks,
        lambda: _one_network(networks[0]) if arguments.name is not None else _network_table(networks, arguments),
    )
    return cli.OK


def _network_table(networks: Sequence[Mapping[str, Any]], arguments: argparse.Namespace) -> str:
    rows = [
        (
            network["name"],
            "active" if network["active"] else "inactive",
            network["forward"],
            network["bridge"] or "-",
            network["virtualport"] or "-",
            " ".join(portgroup["name"] for portgroup in network["portgroups"]) or "-",
        )
        for network in networks
    ]
    return render.table(
        ("NAME", "STATE", "FORWARD", "BRIDGE", "VIRTUALPORT", "PORTGROUPS"), rows, not arguments.no_legend
    )


def _one_network(network: Mapping[str, Any]) -> str:
    def said(value: bool) -> str:
        return "yes" if value else "no"

    groups = [f"{group['name']}{' (default)' if group['default'] else ''}" for group in network["portgroups"]]
    return render.facts(
        [
            ("Name", network["name"]),
            ("UUID", network["uuid"]),
            ("Active", said(network["active"])),
            ("Persistent", said(network["persistent"])),
            ("Autostart", said(network["autostart"])),
            ("Forward", network["forward"]),
            ("Bridge", network["bridge"] or "-"),
            ("Virtualport", network["virtualport"] or "-"),
            ("Portgroups", ", ".join(groups) or "-"),
        ]
    )


def _hooks(arguments: argparse.Namespace) -> int:
    hooks: list[Mapping[str, Any]] = _ask(arguments, "hooks")
    rows = [(hook["name"], _woken_by(hook), " ".join(hook["events"])) for hook in hooks]
    _print(arguments, hooks, lambda: render.table(("HOOK", "WOKEN BY", "EVENTS"), rows, not arguments.no_legend))
    return cli.OK


def _policy(arguments: argparse.Namespace) -> int:
    rules: list[Mapping[str, Any]] = _ask(arguments, "policy")
    rows = [
        (str(number), rule["hook"], _woken_by(rule), " ".join(rule["events"]), rule["source"])
        for number, rule in enumerate(rules, start=1)
    ]
    legend = ("", "HOOK", "WOKEN BY", "EVENTS", "RULE")
    _print(arguments, rules, lambda: render.table(legend, rows, not arguments.no_legend))
    return cli.OK


def _woken_by(rule: Mapping[str, Any]) -> str:
    return "every request" if rule["always"] else " ".join(rule["properties"]) or "-"


def _rehearse(arguments: argparse.Namespace, xml: bytes) -> list[dict[str, Any]]:
    """The daemon's decisions about a document, hook after hook."""
    environment = {}
    for given in arguments.prop:
        name, equals, value = given.partition("=")
        if not equals or not name:
            raise client.Refused("usage", f"--prop takes NAME=VALUE, not {given!r}")
        environment[name] = os.fsencode(value)
    details = {"hook": arguments.hook} if arguments.hook else {}
    decisions: list[dict[str, Any]] = _ask(
        arguments, "explain", event=arguments.event, environment=environment, document=xml, **details
    )
    return decisions


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise client.Refused("bad-request", f"{file}: {error.strerror}") from None


def _explain(arguments: argparse.Namespace) -> int:
    xml = _read(arguments.file)
    decisions = _rehearse(arguments, xml)
    texts, before = [], xml
    for made in decisions:
        after = made["document"]
        texts.append(_explanation(made) + _diff(before, after))
        before = after
        made["document"] = after.decode("utf-8", "backslashreplace")
    _print(arguments, decisions, lambda: "\n".join(texts) or f"no enabled hook serves {arguments.event}")
    return cli.FINDING if any(made["outcome"] == "refused" for made in decisions) else cli.OK


def _explanation(made: Mapping[str, Any]) -> str:
    pairs = [("Hook", made["hook"]), ("Outcome", made["outcome"])]
    pairs += [("Rule", made["rule"])] if made["rule"] else []
    pairs += [("Reason", made["message"])] if made["message"] else []
    return render.facts(pairs + [("Note", note) for note in made["notes"]])


def _diff(before: bytes, after: bytes) -> str:
    import difflib

    old, new = (xml.decode("utf-8", "backslashreplace").splitlines() for xml in (before, after))
    lines = list(difflib.unified_diff(old, new, "before", "after", n=2, lineterm=""))
    return "\n" + "\n".join(lines) if before != after and lines else ""


def _check(arguments: argparse.Namespace) -> int:
    from vdsm_hookd import document, registry, schema
    from vdsm_hookd.ini import ConfigError

    try:
        _config, policy = registry.configure(arguments.config)
    except ConfigError as error:
        problems = [str(problem) for problem in error.problems]
        _print(arguments, {"problems": problems}, lambda: "\n".join(problems))
        return cli.EX_DATAERR
    if arguments.file is None:
        result = {"problems": [], "rules": len(policy.rules)}
        _print(arguments, result, lambda: f"{arguments.config}: good, {len(policy.rules)} rules")
        return cli.OK
    if arguments.event is None:
        raise client.Refused("usage", "a FILE needs --event")
    xml = _read(arguments.file)
    decisions = _rehearse(arguments, xml)
    refused = [f"{made['hook']}: {made['message']}" for made in decisions if made["outcome"] == "refused"]
    try:
        problems = refused + schema.broken(xml, decisions[-1]["document"] if decisions else xml)
    except document.BadDocument as error:
        raise client.Refused("bad-request", f"{arguments.file}: {error}") from None
    except (FileNotFoundError, LookupError) as error:
        raise client.Refused("no-schema", str(error)) from None
    fine = "the rewritten document is as good for libvirt's schema as it was"
    _print(arguments, {"problems": problems}, lambda: "\n".join(problems) or fine)
    return cli.FINDING if problems else cli.OK


def _reload(arguments: argparse.Namespace) -> int:
    result: Mapping[str, Any] = _ask(arguments, "reload")
    _print(arguments, result, lambda: f"reloaded from {', '.join(result['files']) or 'the defaults'}")
    return cli.OK


if __name__ == "__main__":
    sys.exit(main())
