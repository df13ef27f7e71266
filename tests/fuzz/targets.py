"""What is fuzzed, how it is built, and how it is run: for `make fuzz` and for the short runs in the tests.

python -m tests.fuzz.targets SECONDS    each target for so long; what it finds new goes into the corpus
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
BUILD = ROOT / "build" / "fuzz"
TARGETS = ("reply", "calls", "questions", "decisions")
_LIMITS = ("-timeout=5", "-rss_limit_mb=1024", "-max_len=8192", "-print_final_stats=1")
"""No hang, and memory bounded: libFuzzer counts either as a crash."""


def build_reply() -> Path:
    """The shim's reply parser with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer."""
    BUILD.mkdir(parents=True, exist_ok=True)
    program = BUILD / "reply"
    sanitizers = "-fsanitize=fuzzer,address,undefined"
    sources = [str(HERE / "reply.c"), str(ROOT / "shim" / "reply.c")]
    options = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-g", "-fno-omit-frame-pointer"]
    command = ["clang", *options, sanitizers, "-fno-sanitize-recover=all", "-o", str(program), *sources]
    subprocess.run(command, check=True)
    return program


def command_of(target: str) -> list[str]:
    """What runs a target."""
    return [str(build_reply())] if target == "reply" else [sys.executable, "-m", "tests.fuzz.daemon", target]


def fuzz(target: str, folders: Sequence[Path], artifacts: Path, *options: str) -> int:
    """Run a target from the corpora in `folders`, of which the first gets what is new; returns how many inputs it was
    given. Raises AssertionError with the fuzzer's report when one was too much for it."""
    command = [*command_of(target), *_LIMITS, f"-artifact_prefix={artifacts}/", *options, *map(str, folders)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'daemon'}"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, errors="replace", check=False
    )
    found = re.search(r"stat::number_of_executed_units: +(\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise AssertionError(f"{target}: {done.stdout[-2000:]}{done.stderr[-6000:]}")
    return int(found[1])


def main() -> int:
    """The long run."""
    seconds = int(sys.argv[1])
    BUILD.mkdir(parents=True, exist_ok=True)
    for target in TARGETS:
        folder = CORPUS / target
        before = len(list(folder.iterdir()))
        inputs = fuzz(target, [folder], BUILD, f"-max_total_time={seconds}", "-reduce_inputs=1")
        print(
            f"{target}: {inputs} inputs in {seconds} s, {len(list(folder.iterdir())) - before} new in {folder}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
