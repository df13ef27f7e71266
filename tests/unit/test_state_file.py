"""Files of the daemon's own: whole, with their mode, and left alone where nothing changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vdsm_hookd import state_file


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_its_mode_whatever_the_umask_is(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "file"
    for umask in (0o777, 0):
        before = os.umask(umask)
        try:
            state_file.write(str(file), b"%o" % umask, mode)
        finally:
            os.umask(before)
        assert (file.read_bytes(), file.stat().st_mode & 0o7777) == (b"%o" % umask, mode)
    assert os.listdir(tmp_path) == ["file"]


def test_only_what_differs_or_is_not_the_daemons_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "file"

    def is_replaced(content: bytes = b"same") -> bool:
        before = file.lstat()
        kept = os.open(file, os.O_PATH | os.O_NOFOLLOW)  # or the new file could get its number
        try:
            state_file.write(str(file), content, 0o644)
            return file.lstat().st_ino != before.st_ino
        finally:
            os.close(kept)

    state_file.write(str(file), b"same", 0o644)
    assert not is_replaced()
    assert is_replaced(b"sam")
    assert is_replaced(b"same")
    file.chmod(0o600)
    assert is_replaced()
    file.chmod(0o666)
    assert is_replaced()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to("elsewhere")
    assert is_replaced()
    assert not file.is_symlink()
    if os.geteuid() == 0:
        os.chown(file, 12345, 0)
        assert is_replaced()


def test_a_leftover_in_the_new_files_place_is_not_written_into(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "file.new").symlink_to(victim)
    state_file.write(str(tmp_path / "file"), b"new", 0o644)
    assert (victim.read_bytes(), (tmp_path / "file").read_bytes()) == (b"mine", b"new")
    assert sorted(os.listdir(tmp_path)) == ["file", "victim"]
