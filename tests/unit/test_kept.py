"""The configuration that is kept for a bad day: whole, with its files and lines, or none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsm_hookd import kept, registry
from vdsm_hookd.config import Source
from vdsm_hookd.ini import Entry, Origin
from vdsm_hookd.kept import Kept, Unusable

MAIN = "/etc/vdsm-hookd/vdsm-hookd.conf"
TEXT = st.text(max_size=30)
ENTRIES = st.builds(Entry, TEXT, TEXT, TEXT, st.builds(Origin, TEXT, st.integers(1, 10**6)))
SOURCES = st.builds(Source, st.lists(TEXT, max_size=3).map(tuple), st.lists(ENTRIES, max_size=5).map(tuple))
ONE = Source((MAIN,), (Entry("extnet", "", "", Origin(MAIN, 1)), Entry("extnet", "deny", "a\nb", Origin(MAIN, 2))))


@given(SOURCES, TEXT)
def test_it_comes_back_as_it_was(source: Source, main: str) -> None:
    assert kept.decode(main, kept.encode(main, source)) == source


@given(st.data())
def test_a_damaged_one_is_none(data: st.DataObject) -> None:
    content = kept.encode(MAIN, ONE)
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(1, 255))
    for damaged in (content[:place], content[:place] + bytes([content[place] ^ byte]) + content[place + 1 :], b""):
        with pytest.raises(Unusable):
            kept.decode(MAIN, damaged)
    with pytest.raises(Unusable, match="of another version"):
        kept.decode(MAIN, content.replace(b" 1 ", b" 2 ", 1))


def test_another_main_files_is_none() -> None:
    with pytest.raises(Unusable, match=MAIN):
        kept.decode("/tmp/mine.conf", kept.encode(MAIN, ONE))


def test_the_command_line_is_not_kept() -> None:
    override = Entry("libvirt", "uri", "test:///x", Origin("--libvirt-uri", 0))
    assert kept.decode(MAIN, kept.encode(MAIN, Source(ONE.files, (*ONE.entries, override)))) == ONE


def test_it_compiles_to_the_same_policy_with_the_same_origins(tmp_path: Path) -> None:
    main = tmp_path / "a.conf"
    main.write_text(
        "[extnet]\ndeny = secret\n[rewrite x]\nhook = h\nevents = before_vm_start\nwhen = property p equals 1\n"
        "xpath = /domain\nset a = 1\n"
    )
    config, policy = registry.configure(str(main))
    again, same = registry.build(kept.decode(str(main), kept.encode(str(main), config.source)))
    assert again == config
    assert [rule.source for rule in same.rules] == [rule.source for rule in policy.rules]


def test_a_file_is_replaced_whole_and_only_where_it_differs(tmp_path: Path) -> None:
    file = tmp_path / "configuration"
    keeper = Kept(str(file), MAIN)
    assert keeper.load() is None
    keeper.keep(ONE)
    assert (keeper.load(), keeper.failure, os.listdir(tmp_path)) == (ONE, "", ["configuration"])
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.stat().st_ino
    keeper.keep(ONE)
    assert file.stat().st_ino == before
    (tmp_path / "configuration.new").symlink_to(tmp_path / "elsewhere")  # as a start that was killed may leave one
    keeper.keep(Source(("other",), ONE.entries))
    assert keeper.load() == Source(("other",), ONE.entries)
    assert os.listdir(tmp_path) == ["configuration"]


def test_what_others_may_have_written_is_none(tmp_path: Path) -> None:
    file = tmp_path / "configuration"
    keeper = Kept(str(file), MAIN)
    file.write_bytes(kept.encode(MAIN, ONE))
    for mode in (0o620, 0o602):
        file.chmod(mode)
        with pytest.raises(Unusable, match="written by others"):
            keeper.load()
    file.chmod(0o600)
    assert keeper.load() == ONE
    if os.geteuid() == 0:
        os.chown(file, 12345, 0)
        with pytest.raises(Unusable, match="another user"):
            keeper.load()
    file.rename(tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Unusable):
        keeper.load()
    file.unlink()
    os.mkfifo(file, 0o600)
    with pytest.raises(Unusable):
        keeper.load()


def test_where_it_can_not_be_written_the_failure_says_so_until_it_can(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    keeper = Kept(str(folder / "configuration"), MAIN)
    keeper.keep(ONE)
    assert "can't be kept for a later start: " in keeper.failure
    folder.mkdir()
    keeper.keep(ONE)
    assert (keeper.failure, keeper.load()) == ("", ONE)


def test_what_can_not_be_kept_leaves_no_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That could lack what denies a network."""
    keeper = Kept(str(tmp_path / "configuration"), MAIN)
    keeper.keep(ONE)
    monkeypatch.setattr(kept, "_MAX_SIZE", 100)
    keeper.keep(ONE)
    assert "more than 100" in keeper.failure
    assert os.listdir(tmp_path) == []


def test_root_keeps_nothing_in_another_users_folder(tmp_path: Path) -> None:
    """Nor takes away what the service keeps there."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    keeper = Kept(str(tmp_path / "configuration"), MAIN)
    (tmp_path / "configuration").write_text("the service's")
    os.chown(tmp_path, 12345, 12345)
    keeper.keep(ONE)
    assert "the service's user" in keeper.failure
    assert (tmp_path / "configuration").read_text() == "the service's"
