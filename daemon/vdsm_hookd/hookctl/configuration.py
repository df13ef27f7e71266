"""The configuration files as a verb reads them itself, where no daemon is asked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from vdsm_hookd import client

if TYPE_CHECKING:
    from vdsm_hookd.config import Config
    from vdsm_hookd.policy import Policy

DEFAULT_FILE = "/etc/vdsm-hookd/vdsm-hookd.conf"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Which configuration."""
    parser.add_argument(
        "--config", metavar="FILE", default=DEFAULT_FILE, help="the configuration (default: %(default)s)"
    )


def load(arguments: argparse.Namespace) -> tuple[Config, Policy]:
    """What the files say. Raises client.Refused where they are bad."""
    from vdsm_hookd import registry  # and with it lxml and all hooks, which most verbs never need
    from vdsm_hookd.ini import ConfigError

    try:
        return registry.configure(arguments.config)
    except ConfigError as error:
        raise client.Refused("bad-config", str(error)) from None
