"""Measures what a VM start pays: `make bench`.

All figures are ratios within one run, because absolute times are the machine's. Each bar is printed beside what was
measured, and a missed one makes the exit status 1. `--smoke` runs everything a few times only, and judges nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.bench import chart
from tests.bench.figure import table
from tests.bench.measure import SMOKE, Bench, Scale
from tests.daemon import ROOT


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure what a VM start pays.")
    parser.add_argument("--smoke", action="store_true", help="does it run at all; no figure is judged")
    parser.add_argument("--output", metavar="DIR", type=Path, default=ROOT / "build", help="(default: %(default)s)")
    arguments = parser.parse_args()
    # In memory, where it can be: on ext4 a rename over a file starts a write to the disk, which would be timed too.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="hookd-bench-", dir=memory) as name:
        bench = Bench(Path(name), SMOKE if arguments.smoke else Scale())
        figures = []
        for figure in bench.figures():
            print(figure.name, file=sys.stderr)
            figures.append(figure)
    print(table(figures))
    arguments.output.mkdir(exist_ok=True)
    result = {
        "machine": {"kernel": platform.release(), "processors": os.cpu_count(), "python": platform.python_version()},
        "median_us": {time.name: round(time.median, 1) for time in bench.times},
        "figures": [{**asdict(figure), "met": figure.met} for figure in figures],
    }
    (arguments.output / "bench.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    (arguments.output / "bench.svg").write_text(chart.times(bench.times))
    return 0 if arguments.smoke or all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
