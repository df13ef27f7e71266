"""What both commands share: exit statuses (sysexits.h) and a parser that keeps to them."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

OK = 0
FINDING = 1
EX_USAGE = 64
EX_DATAERR = 65
EX_UNAVAILABLE = 69
EX_OSERR = 71
EX_NOPERM = 77


class Parser(argparse.ArgumentParser):
    """argparse, but a usage error exits 64 as everywhere in sysexits.h."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(EX_USAGE, f"{self.prog}: {message}\n")
