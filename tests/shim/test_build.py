# SPDX-License-Identifier: GPL-2.0-or-later
"""What the build makes: the table of the properties that wake a hook, and a small static program."""

from __future__ import annotations

import re
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


def elf(shim: pathlib.Path, *what: str) -> str:
    command = ["readelf", "--wide", *what, str(shim)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env={"LC_ALL": "C"}).stdout


@pytest.mark.release_binary
def test_the_program_is_static_and_small(shim: pathlib.Path) -> None:
    binary = shim.read_bytes()
    (table,) = struct.unpack_from("<Q", binary, 32)
    size, count = struct.unpack_from("<HH", binary, 54)
    kinds = {struct.unpack_from("<I", binary, table + size * index)[0] for index in range(count)}
    assert PT_INTERP not in kinds
    if shutil.which("musl-gcc"):  # with glibc it is 800 KiB
        assert len(binary) <= 40 * 1024


@pytest.mark.release_binary
def test_no_huge_page_has_to_be_cleared(shim: pathlib.Path) -> None:
    """Text and bss begin in the same 2 MiB, so that the buffers, which begin there too, get small pages even on a host
    that gives huge ones to all (EL's default): one of these costs half as much again as the whole run."""
    starts = [int(start, 16) for start in re.findall(r"^ +LOAD +0x\w+ 0x(\w+) ", elf(shim, "--segments"), re.MULTILINE)]
    assert len(starts) >= 2
    assert {start >> 21 for start in starts} == {starts[0] >> 21}


# What is left of the hardening flags in a static binary, each with what it is worth there. PIE is not among them: see
# the Makefile. FORTIFY_SOURCE is not either with musl, which has no checked functions.


@pytest.mark.release_binary
def test_nothing_that_can_be_written_can_be_run(shim: pathlib.Path) -> None:
    """-z noexecstack, and no segment with both."""
    segments = re.findall(r"^ +(\w+) +(?:0x\w+ +){5}([R ][W ][E ]) ", elf(shim, "--segments"), re.MULTILINE)
    flags = dict(segments)
    assert flags["GNU_STACK"] == "RW "
    loaded = [each for kind, each in segments if kind == "LOAD"]
    assert len(loaded) >= 2
    assert not [each for each in loaded if "W" in each and "E" in each]


@pytest.mark.release_binary
def test_what_is_constant_after_the_start_is_read_only(shim: pathlib.Path) -> None:
    """-z relro: of a static program's sections, those that it has at all lie in a segment of their own. -z now is for
    a dynamic linker, and there is none: no dynamic section, and nothing that could be bound lazily or preloaded."""
    assert "GNU_RELRO" in elf(shim, "--segments")
    assert "There is no dynamic section" in elf(shim, "--dynamic")


@pytest.mark.release_binary
def test_functions_with_buffers_guard_their_stack(shim: pathlib.Path) -> None:
    """-fstack-protector-strong: a canary is put behind the return address, and looked at before it is used. The symbol
    is stripped, so it is told by the code: loads and compares with the canary that musl and glibc keep at fs:0x28."""
    code = subprocess.run(["objdump", "--disassemble", str(shim)], capture_output=True, text=True, check=True).stdout
    assert len(re.findall(r"mov +%fs:0x28,", code)) >= 2
    assert len(re.findall(r"(?:sub|cmp|xor) +%fs:0x28,", code)) >= 2


@pytest.mark.release_binary
def test_an_overrun_that_the_guard_sees_ends_the_program(tmp_path: pathlib.Path) -> None:
    """The same flags on a program that overruns a buffer, or they would be decoration."""
    program = tmp_path / "overrun.c"
    program.write_text(
        "#include <string.h>\nint main(int argc, char **argv) {\n"
        "    char room[16]; (void)argc; strcpy(room, argv[1]); return room[0] == 'x'; }\n"
    )
    link = subprocess.run(
        ["make", "-s", "-C", str(SHIM_DIRECTORY), "linker"], capture_output=True, text=True, check=True
    ).stdout.split()
    flags = re.search(r"^CFLAGS +\?= (.*)$", (SHIM_DIRECTORY / "Makefile").read_text(), re.MULTILINE)
    assert flags
    built = tmp_path / "overrun"
    subprocess.run([*link, *flags[1].split(), "-w", "-o", str(built), str(program)], check=True)
    assert subprocess.run([built, "y" * 8], check=False).returncode == 0
    assert subprocess.run([built, "y" * 64], check=False, stderr=subprocess.DEVNULL).returncode < 0
