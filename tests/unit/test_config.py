"""The configuration: what files say, which one wins, and what an error names."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from vdsm_hookd import config, ini, options, registry
from vdsm_hookd.config import Config
from vdsm_hookd.ini import ConfigError, Entry, Origin

ROOT = Path(__file__).resolve().parents[2]


def load(file: Path, *overrides: Entry) -> Config:
    return registry.configure(str(file), overrides)[0]


def problems(file: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(file)
    return [str(problem) for problem in caught.value.problems]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "vdsm-hookd.conf"


def test_an_empty_file_means_the_defaults(file: Path) -> None:
    file.write_text("")
    loaded = load(file)
    assert loaded.libvirt.uri == "network:///system"
    assert loaded.libvirt.resync == 10.0
    assert loaded.files == (str(file),)


def test_drop_ins_win_in_the_order_of_their_names_and_the_command_line_over_all(file: Path) -> None:
    drop_ins = file.parent / "vdsm-hookd.conf.d"
    drop_ins.mkdir()
    file.write_text("[libvirt]\nuri = main\nresync = 1s\nask_timeout = 1s\n")
    (drop_ins / "20-b.conf").write_text("[libvirt]\nuri = b\nresync = 3s\n")
    (drop_ins / "10-a.conf").write_text("[libvirt]\nuri = a\nresync = 2s\n")
    (drop_ins / "not-one.txt").write_text("junk")
    loaded = load(file, Entry("libvirt", "uri", "option", Origin("--libvirt-uri", 0)))
    assert (loaded.libvirt.uri, loaded.libvirt.resync, loaded.libvirt.ask_timeout) == ("option", 3.0, 1.0)


def test_the_admins_drop_in_wins_over_the_vendors_of_the_same_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = tmp_path / "etc/vdsm-hookd/vdsm-hookd.conf"
    monkeypatch.setattr(config, "DEFAULT_FILE", str(main))
    monkeypatch.setattr(config, "VENDOR_FOLDERS", (f"{tmp_path}/usr/lib/d", f"{tmp_path}/run/d"))
    for folder in ("usr/lib/d", "run/d", "etc/vdsm-hookd/vdsm-hookd.conf.d"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "50-site.conf").write_text(f"[libvirt]\nuri = {folder}\n")
    (tmp_path / "usr/lib/d/60-late.conf").write_text("[libvirt]\nresync = 7s\n")
    loaded = load(main)
    assert loaded.libvirt.uri == "etc/vdsm-hookd/vdsm-hookd.conf.d"
    assert loaded.libvirt.resync == 7.0


def test_the_default_file_may_be_missing_but_a_named_one_may_not(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(file) == [f"{file}: no such file"]
    monkeypatch.setattr(config, "DEFAULT_FILE", str(file))
    monkeypatch.setattr(config, "VENDOR_FOLDERS", ())
    assert load(file).files == ()


def test_every_problem_is_named_with_its_file_and_line(file: Path) -> None:
    file.write_text("[libvirt]\nresync = soon\n\n[extnet]\nallow = *\nincompatble = adapt\n[extnt]\nallow = x\n")
    found = problems(file)
    assert [problem.split(": ")[0] for problem in found] == [f"{file}:7", f"{file}:2", f"{file}:6"]
    assert "[extnt]" in found[0]
    assert "must be a time" in found[1]
    assert "'incompatble'" in found[2]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("uri = x", 1, "before the first [section]"),
        ("[libvirt\nuri = x", 1, "a section must look like"),
        ("[libvirt]\nuri", 2, "neither a [section] nor"),
        ("[libvirt]\n= x", 2, "neither a [section] nor"),
        ("[libvirt]\nuri = a\nuri = b", 3, "already set in line 2"),
        ("[libvirt]\nuri =", 2, "must not be empty"),
        ("[extnet]\nincompatible = maybe", 2, "must be one of adapt, refuse, keep"),
    ],
)
def test_a_bad_line_is_named(file: Path, text: str, line: int, reason: str) -> None:
    file.write_text(text)
    (found,) = problems(file)
    assert found.startswith(f"{file}:{line}: ")
    assert reason in found


def test_a_file_that_is_no_text_is_named(file: Path) -> None:
    file.write_bytes(b"[libvirt]\nuri = \xff\n")
    assert "can't be read" in problems(file)[0]


def test_what_is_shown_can_be_read_back_and_names_the_sources(file: Path) -> None:
    rewrite = "[rewrite x]\nhook = site\nevents = before_vm_start\nxpath = /a\nset b = 1\nset c = 2\n"
    file.write_text("# a comment\n[extnet]\ndeny = a\n   b\n[map]\nrhevm = glitter\n" + rewrite)
    shown = config.show(load(file))
    assert f"# {file}:3\ndeny = a\n    b\n" in shown
    again = file.parent / "again.conf"
    again.write_text(shown)
    assert load(again).hooks == load(file).hooks
    assert f"# {file}:6\nrhevm = glitter\n" in shown
    rules = [[(entry.key, entry.value) for entry in load(each).rewrites["x"]] for each in (file, again)]
    assert rules[0] == rules[1]


@pytest.mark.parametrize(
    ("text", "seconds"), [("10", 10.0), ("10s", 10.0), ("80 ms", 0.08), ("5min", 300.0), ("1.5h", 5400.0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert options.duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "-1s", "25h", "1d", "s", "1e3", "nan", "10 s s"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        options.duration(text)


def test_entries_keep_their_order_and_lines() -> None:
    text = "[rewrite  a]\nset x =  1 = 2\n; no\n\n  more\nb=\n"
    assert list(ini.parse(text, "f")) == [
        Entry("rewrite a", "", "", Origin("f", 1)),
        Entry("rewrite a", "set x", "1 = 2\nmore", Origin("f", 2)),
        Entry("rewrite a", "b", "", Origin("f", 6)),
    ]


@pytest.mark.parametrize("example", sorted((ROOT / "conf" / "examples").glob("*.conf")), ids=lambda path: path.name)
def test_the_shipped_files_are_good(example: Path, tmp_path: Path) -> None:
    main = tmp_path / "vdsm-hookd.conf"
    main.write_text((ROOT / "conf" / "vdsm-hookd.conf").read_text())
    (tmp_path / "vdsm-hookd.conf.d").mkdir()
    (tmp_path / "vdsm-hookd.conf.d" / example.name).write_text(example.read_text())
    loaded, policy = registry.configure(str(main))
    assert len(loaded.files) == 2
    assert len(policy.rules) >= 3


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[history]\nentries = 0", "must be a number from 1 to 100000"),
        ("[history]\nentries = ten", "must be a number from 1 to 100000"),
        ("[history]\nsize = 16", "must be an amount such as 16MiB or 512KiB"),
        ("[history]\nsize = 1KiB", "must be at least 64KiB and at most 1GiB"),
        ("[history]\nsize = 2GiB", "must be at least 64KiB and at most 1GiB"),
        ("[audit]\nevery = never", "must be a time such as 10s, 80ms or 5min"),
    ],
)
def test_bounds_of_history_and_audit_are_checked(file: Path, line: str, reason: str) -> None:
    file.write_text(line)
    (problem,) = problems(file)
    assert problem.startswith(f"{file}:2: ")
    assert problem.endswith(reason)


def test_history_and_audit_are_read(file: Path) -> None:
    file.write_text("[history]\nentries = 50\nsize = 512KiB\n[audit]\nevery = 5min\n[daemon]\ncontrol_group = wheel\n")
    loaded = load(file)
    assert (loaded.history.entries, loaded.history.size) == (50, 512 << 10)
    assert (loaded.audit.every, loaded.daemon.control_group) == (300.0, "wheel")
    file.write_text("")
    loaded = load(file)
    assert (loaded.history.entries, loaded.history.size, loaded.audit.every) == (1000, 16 << 20, 0.0)
    assert loaded.daemon.control_group == ""


def test_hidden_files_are_no_drop_ins(file: Path) -> None:
    """An editor's lock is a link to nothing, its copy has the same options twice."""
    file.write_text("")
    drop_ins = file.parent / "vdsm-hookd.conf.d"
    drop_ins.mkdir()
    (drop_ins / ".#60-site.conf").symlink_to("root@host.1234:1700000000")
    (drop_ins / ".60-site.conf").write_text("no INI")
    (drop_ins / "60-site.conf~").write_text("no INI")
    assert load(file).files == (str(file),)


@pytest.mark.skipif(os.geteuid() != 0, reason="root is needed to be another user")
def test_what_is_there_and_can_not_be_read_is_an_error_with_its_path(tmp_path: Path) -> None:
    """By another user than root, as the service's is."""
    tmp_path.chmod(0o755)
    for parent in (tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(parent.stat().st_mode | 0o055)
    file = tmp_path / "vdsm-hookd.conf"
    file.write_text("")
    drop_ins = tmp_path / "vdsm-hookd.conf.d"
    drop_ins.mkdir()
    (drop_ins / "60-site.conf").write_text("[extnet]\ndeny = glitter\n")
    for path, closed in ((drop_ins, 0o700), (drop_ins / "60-site.conf", 0o600), (file, 0o600)):
        before = path.stat().st_mode
        path.chmod(closed)
        os.seteuid(65534)
        try:
            (problem,) = problems(file)
        finally:
            os.seteuid(0)
        assert problem.startswith(f"{path}: can't be read")
        path.chmod(before)
    assert load(file).hooks["extnet"].deny.match("glitter")


def test_a_fifo_among_the_drop_ins_holds_up_nothing_and_a_link_to_nothing_masks(file: Path) -> None:
    file.write_text("")
    drop_ins = file.parent / "vdsm-hookd.conf.d"
    drop_ins.mkdir()
    (drop_ins / "50-masked.conf").symlink_to("/dev/null")
    assert len(load(file).files) == 2
    os.mkfifo(drop_ins / "60-fifo.conf")
    (problem,) = problems(file)
    assert "60-fifo.conf" in problem
    assert "is a FIFO" in problem


BAD_TEXT = ["[daemon]\nvdsm_user = a\0b\n", "[libvirt]\nuri = a\0b\n", "[audit]\nuri = \x1b[31m\n"]


@pytest.mark.parametrize("setting", BAD_TEXT)
def test_a_control_character_is_a_problem_with_its_line(file: Path, setting: str) -> None:
    file.write_text(setting)
    (problem,) = problems(file)
    assert problem.startswith(f"{file}:2: ")


def test_a_pattern_that_python_can_not_compile_is_a_problem(file: Path) -> None:
    """3.9 raises re.error for a bad range; newer ones let it match nothing."""
    file.write_text("[extnet]\nallow = lab[9-1]\n")
    if sys.version_info < (3, 10):
        (problem,) = problems(file)
        assert problem.startswith(f"{file}:2: ")
    else:
        assert not load(file).hooks["extnet"].allow.match("lab5")


def test_a_wake_table_that_is_too_large_for_the_shim_is_found_when_the_configuration_is_loaded(file: Path) -> None:
    rewrites = [
        f"[rewrite r{number}]\nhook = r{number}\nevents = before_vm_start\n"
        f"when = property {'p' * 200}{number} present\nxpath = /domain\nset a = 1\n"
        for number in range(1000)
    ]
    file.write_text("".join(rewrites))
    (problem,) = problems(file)
    assert "the shim's wake table would have" in problem


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), TypeError("x"), MemoryError()])
def test_whatever_a_packages_code_raises_is_a_problem(
    file: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    file.write_text("")

    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(registry, "compile_policy", fail)
    (problem,) = problems(file)
    assert problem.startswith(f"{file}: can't be loaded: {type(error).__name__}")
