"""hookctl metrics: OpenMetrics on standard output, or a file for node_exporter's textfile collector."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vdsm_hookd import cli, client, openmetrics
from vdsm_hookd.hookctl.answer import ask, show
from vdsm_hookd.openmetrics import Family, Sample

FORMATS = {"openmetrics": openmetrics.openmetrics, "prometheus": openmetrics.prometheus}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which format, and where to."""
    parser.add_argument(
        "--format", choices=FORMATS, default="openmetrics", help="the text format (default: %(default)s)"
    )
    parser.add_argument(
        "--textfile", metavar="FILE", help="write FILE, whole, in the format prometheus, which node_exporter reads"
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, or raises client.Refused where the file can't be written."""
    asked = ask(arguments, "metrics")
    families = [Family(**{**family, "samples": [Sample(**each) for each in family["samples"]]}) for family in asked]
    if arguments.textfile is not None:
        _write(Path(arguments.textfile), families)
    else:
        show(arguments, asked, lambda: FORMATS[arguments.format](families)[:-1])
    return cli.OK


def _write(file: Path, families: Sequence[Family]) -> None:
    """Beside it and renamed over it, for the collector may read at any time; it takes no name but *.prom."""
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as opened:
                os.fchmod(descriptor, 0o644)
                opened.write(openmetrics.prometheus(families))
            os.replace(beside, file)
        except OSError:
            os.unlink(beside)
            raise
    except OSError as error:
        raise client.Refused("write-failed", f"{file}: {error.strerror}") from None
