"""hookctl: ask the daemon what it knows, and tell it to reload. One module a verb, loaded when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from vdsm_hookd import __version__, cli, client

DEFAULT_SOCKET = "/run/vdsm-hookd/control.sock"
VERBS = {
    "status": "how the daemon is; exit 1 when it is degraded",
    "networks": "the libvirt networks that the daemon knows",
    "hooks": "which hooks serve which events on which properties, and what vdsm runs on this host",
    "policy": "the rules in force, in their order, and where each comes from",
    "history": "the last decisions; --follow shows those that come",
    "explain": "what would happen to a document; changes nothing, exit 1 when it is refused",
    "replay": "decide a request of the history again, as of today; exit 1 when that differs",
    "audit": "are running vNICs where they were declared to be; exit 1 when one is not",
    "metrics": "OpenMetrics, for Prometheus",
    "check": "is the configuration good; with --host, the host; with FILE, the rewritten document for libvirt",
    "engine-config": "the engine-config commands that offer the hooks' properties; keeps what is there",
    "reload": "read the configuration again: all of it, or none",
    "complete": "what may come next on a command line, for the shell",
}
"""The verbs and what each is for. Each is the module of its name, with `add_arguments` and `run`."""

_STATUS_OF_CODE = {"usage": cli.EX_USAGE, "bad-config": cli.EX_DATAERR, "bad-request": cli.EX_DATAERR}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit status: 0 yes, 1 no, 64 usage, 65 bad data, 69 unreachable, 77 not permitted."""
    arguments = _parse(sys.argv[1:] if argv is None else argv)
    try:
        return _module(arguments.verb).run(arguments)  # type: ignore[no-any-return]
    except client.Unreachable as error:
        print(f"hookctl: no daemon answers on {error} (systemctl status vdsm-hookd says more)", file=sys.stderr)
        return cli.EX_UNAVAILABLE
    except client.NotPermitted as error:
        print(f"hookctl: not permitted: {error}", file=sys.stderr)
        return cli.EX_NOPERM
    except client.Refused as error:
        print(f"hookctl: {error.code}: {error}", file=sys.stderr)
        return _STATUS_OF_CODE.get(error.code, cli.FINDING)
    except BrokenPipeError:  # who reads has enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return cli.OK


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    return parser()[0].parse_args(argv)


def parser() -> tuple[cli.Parser, Mapping[str, VerbParser]]:
    """The whole command's parser, and those of the verbs."""
    whole = cli.Parser(prog="hookctl", description="Ask vdsm-hookd what it knows.")
    whole.add_argument("--version", action="version", version=f"hookctl {__version__}")
    _add_common_options(whole, flag=False, socket=DEFAULT_SOCKET)
    whole.set_defaults(verb="status")
    verbs = whole.add_subparsers(metavar="VERB", parser_class=VerbParser)
    for name, about in VERBS.items():
        verbs.add_parser(name, help=about, description=about).verb = name
    return whole, verbs.choices


class VerbParser(cli.Parser):
    """Learns its arguments from the verb's module, and only when that verb is the one."""

    verb: str

    def learn(self) -> None:
        """Load the verb's module for its arguments."""
        # Without defaults of their own, or they would undo an option that stands before the verb.
        _add_common_options(self, flag=argparse.SUPPRESS, socket=argparse.SUPPRESS)
        self.set_defaults(verb=self.verb)
        _module(self.verb).add_arguments(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self.learn()
        return super().parse_known_args(args, namespace)


def _module(verb: str) -> Any:
    return importlib.import_module(f"{__name__}.{verb.replace('-', '_')}")


def _add_common_options(parser: argparse.ArgumentParser, flag: object, socket: str) -> None:
    """The options of every verb; `flag` and `socket` are their defaults."""
    parser.add_argument("--json", action="store_true", default=flag, help="print JSON with stable keys")
    parser.add_argument("--no-legend", action="store_true", default=flag, help="print no table heads")
    parser.add_argument("--socket", metavar="PATH", default=socket, help=f"the control socket ({DEFAULT_SOCKET})")
