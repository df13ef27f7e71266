# SPDX-License-Identifier: GPL-2.0-or-later
"""What the build makes: the table of the properties that wake a hook, and a small static program."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.shim.conftest import SHIM_DIRECTORY

if TYPE_CHECKING:
    import pathlib

PT_INTERP = 3


def wake_table(directory: pathlib.Path, **files: str) -> subprocess.CompletedProcess[str]:
    paths = []
    for name, text in files.items():
        paths.append(directory / f"{name}.py")
        paths[-1].write_text(text)
    command = [sys.executable, str(SHIM_DIRECTORY / "wake-table.py"), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_row_for_every_hook(tmp_path: pathlib.Path) -> None:
    result = wake_table(
        tmp_path,
        macspoof='import no_such_module\nHOOK = hook.Hook(properties=("macspoof", "ifacemacspoof"), name="macspoof")\n',
        extnet='HOOK = Hook(name="extnet", properties=("extnet",), rewrite=lambda call: True)\n',
        nestedvt='HOOK = Hook(name="nestedvt", properties=(), always=lambda options: True)',
        helper="def no_hook() -> None: ...\n",
        __init__='Hook(name="ignored")\n',
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[1:] == [
        '"extnet * extnet\\n"',
        '"macspoof * macspoof ifacemacspoof\\n"',
        '"nestedvt * *\\n"',
    ]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("HOOK = Hook(name=", "is not Python"),
        ('HOOK = Hook("extnet", ("extnet",))', "without name="),
        ('HOOK = Hook(name="extnet")', "without properties="),
        ('NAMES = ("a",)\nHOOK = Hook(name="extnet", properties=NAMES)', "bad.py:2: properties is not a literal"),
        ('HOOK = Hook(name="extnet", properties=["extnet"])', "not a tuple of up to 63"),
        ('HOOK = Hook(name="extnet", properties=("extnet"))', "not a tuple of up to 63"),
        (f'HOOK = Hook(name="extnet", properties={tuple(f"p{i}" for i in range(64))})', "not a tuple of up to 63"),
        ('HOOK = Hook(name="extnet", properties=("ext net",))', "not a property's name"),
        ('HOOK = Hook(name="extnet", properties=(1,))', "not a property's name"),
        ('HOOK = Hook(name="ext/net", properties=("extnet",))', "not a hook's name"),
        ('HOOK = Hook(name="extnet", properties=("a", "a"))', "twice"),
        ('HOOK = Hook(name="extnet", properties=("vmId",))', "vmId"),
        ('Hook(name="a", properties=("a",))\nHook(name="a", properties=("b",))', "another hook"),
    ],
)
def test_a_hook_that_cannot_be_read(tmp_path: pathlib.Path, text: str, word: str) -> None:
    result = wake_table(tmp_path, bad=text)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"wake-table: {tmp_path}/bad.py:")
    assert word in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.release_binary
def test_the_program_is_static_and_small(shim: pathlib.Path) -> None:
    binary = shim.read_bytes()
    (table,) = struct.unpack_from("<Q", binary, 32)
    size, count = struct.unpack_from("<HH", binary, 54)
    kinds = {struct.unpack_from("<I", binary, table + size * index)[0] for index in range(count)}
    assert PT_INTERP not in kinds
    if shutil.which("musl-gcc"):  # with glibc it is 800 KiB
        assert len(binary) <= 40 * 1024
