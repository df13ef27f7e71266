"""The configuration: which files, in which order, and the typed result.

Like vdsm's: one INI file and drop-ins that are merged by base name. For the default file the drop-ins lie under
/usr/lib (packages), /run (until reboot) and /etc (the admin, who wins on equal names); for any other file they lie
beside it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdsm_hookd import ini, options
from vdsm_hookd.ini import ConfigError, Entry, Origin, Problem
from vdsm_hookd.options import option

DEFAULT_FILE = "/etc/vdsm-hookd/vdsm-hookd.conf"
VENDOR_FOLDERS = ("/usr/lib/vdsm-hookd/vdsm-hookd.conf.d", "/run/vdsm-hookd/vdsm-hookd.conf.d")


@dataclass(frozen=True)
class Daemon:
    """The service itself. systemd's sockets, when it hands them over, win over the paths. Needs a restart."""

    hook_socket: str = option("/run/vdsm-hookd/hook.sock", options.text, "where the shim calls")
    control_socket: str = option("/run/vdsm-hookd/control.sock", options.text, "where hookctl asks")
    vdsm_user: str = option("vdsm", options.text, "the user besides root whose hooks are served")


@dataclass(frozen=True)
class Libvirt:
    """Where the networks come from."""

    uri: str = option("network:///system", options.text, "libvirt connection URI, opened read-only. Needs a restart")
    resync: float = option("10s", options.duration, "how often everything is read again: not all changes send an event")
    ask_timeout: float = option("80ms", options.duration, "how long a request waits for libvirt before it is refused")


@dataclass(frozen=True)
class Config:
    """One configuration as it was read, typed and checked; never changed, only replaced as a whole."""

    files: tuple[str, ...]
    daemon: Daemon
    libvirt: Libvirt
    hooks: Mapping[str, object]
    entries: tuple[Entry, ...]


def files_of(main: str) -> list[str]:
    """The files that make up the configuration of `main`, in the order in which they are merged."""
    folders = [*(VENDOR_FOLDERS if main == DEFAULT_FILE else ()), f"{main}.d"]
    drop_ins = [str(path) for folder in folders for path in Path(folder).glob("*.conf")]
    return [main, *sorted(drop_ins, key=os.path.basename)]


def load(main: str, hook_sections: Mapping[str, type], overrides: Iterable[Entry] = ()) -> Config:
    """Read and check everything.

    `hook_sections` gives, by hook name, the dataclass of the options that the hook declares; `overrides` are entries
    that win over every file. A missing default file means defaults; any other missing file is an error. Raises
    ConfigError.
    """
    read, entries, problems = [], [], []
    for file in files_of(main):
        try:
            content = Path(file).read_text(encoding="utf-8")
        except FileNotFoundError:
            if file != DEFAULT_FILE:
                problems.append(Problem(Origin(file, 0), "no such file"))
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(Origin(file, 0), f"can't be read: {error}"))
            continue
        read.append(file)
        try:
            entries += _without_repeats(ini.parse(content, file))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return build(tuple(read), [*entries, *overrides], hook_sections)


def _without_repeats(entries: Iterable[Entry]) -> list[Entry]:
    """Between files a later value wins; within one file a second one is most likely a slip."""
    kept: dict[tuple[str, str], Entry] = {}
    problems = []
    for entry in entries:
        first = kept.setdefault((entry.section, entry.key), entry)
        if first is not entry:
            problems.append(
                Problem(entry.origin, f"[{entry.section}] {entry.key} is already set in line {first.origin.line}")
            )
    if problems:
        raise ConfigError(problems)
    return list(kept.values())


def build(files: tuple[str, ...], entries: Iterable[Entry], hook_sections: Mapping[str, type]) -> Config:
    """Turn entries into a Config; of several values for one key the last wins. Raises ConfigError."""
    sections: dict[str, type] = {"daemon": Daemon, "libvirt": Libvirt, **hook_sections}
    effective = {name: options.defaults(name, section) for name, section in sections.items()}
    problems = []
    for entry in entries:
        if entry.section in sections:
            effective[entry.section][entry.key] = entry
        else:
            known = ", ".join(sections)
            problems.append(Problem(entry.origin, f"no section [{entry.section}] is known (there are: {known})"))
    built: dict[str, Any] = {}
    for name, section in sections.items():
        try:
            built[name] = options.read_section(section, effective[name])
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return Config(
        files=files,
        daemon=built["daemon"],
        libvirt=built["libvirt"],
        hooks={name: built[name] for name in hook_sections},
        entries=tuple(entry for section in effective.values() for entry in section.values()),
    )


def show(config: Config) -> str:
    """The effective configuration as INI, each value behind the file and line that set it."""
    lines, section = [], ""
    for entry in config.entries:
        if entry.section != section:
            section = entry.section
            lines += ["", f"[{section}]"]
        lines += [f"# {entry.origin}", f"{entry.key} = {entry.value}".replace("\n", "\n    ")]
    return "\n".join(lines[1:]) + "\n"
