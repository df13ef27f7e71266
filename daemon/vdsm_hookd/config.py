"""The configuration: which files, in which order, and the typed result.

Like vdsm's: one INI file and drop-ins that are merged by base name. For the default file the drop-ins lie under
/usr/lib (packages), /run (until reboot) and /etc (the admin, who wins on equal names); for any other file they lie
beside it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from vdsm_hookd import ini, options
from vdsm_hookd.ini import ConfigError, Entry, Origin, Problem
from vdsm_hookd.options import option

DEFAULT_FILE = "/etc/vdsm-hookd/vdsm-hookd.conf"
VENDOR_FOLDERS = ("/usr/lib/vdsm-hookd/vdsm-hookd.conf.d", "/run/vdsm-hookd/vdsm-hookd.conf.d")


@dataclass(frozen=True)
class Daemon:
    """The service itself. systemd's sockets, when it hands them over, win over the paths, which need a restart."""

    hook_socket: str = option("/run/vdsm-hookd/hook.sock", options.text, "where the shim calls")
    control_socket: str = option("/run/vdsm-hookd/control.sock", options.text, "where hookctl asks")
    vdsm_user: str = option("vdsm", options.text, "the user besides root whose hooks are served")
    control_group: str = option("", options.optional_text, "the group besides root that may ask with hookctl")


@dataclass(frozen=True)
class Libvirt:
    """Where the networks come from."""

    uri: str = option("network:///system", options.text, "libvirt connection URI, opened read-only. Needs a restart")
    resync: float = option("10s", options.duration, "how often everything is read again: not all changes send an event")
    ask_timeout: float = option("80ms", options.duration, "how long a request waits for libvirt before it is refused")
    look_timeout: float = option(
        "10s", options.short_duration, "how long an update of a running vNIC waits for libvirt to show the vNIC"
    )


@dataclass(frozen=True)
class History:
    """The last decisions, which are kept in memory for hookctl history and replay."""

    entries: int = option("1000", options.count, "how many at most")
    size: int = option("16MiB", options.size, "how much memory they may take; the oldest go first")


@dataclass(frozen=True)
class Audit:
    """Whether running vNICs are where they were declared to be."""

    uri: str = option("qemu:///system", options.text, "libvirt connection URI of the running VMs, opened read-only")
    every: float = option("off", options.interval, "how often all running domains are looked at without being asked")


@dataclass(frozen=True)
class Hooks:
    """Which hooks serve requests; a link to one that is not enabled refuses what asks for it."""

    enabled: tuple[str, ...] = option(
        "extnet macspoof qemucmdline", options.words, "names, in the order of their rules"
    )


class Source(NamedTuple):
    """The entries of all files, and of the command line, in the order in which they are merged, not yet checked."""

    files: tuple[str, ...]
    entries: tuple[Entry, ...]

    def last(self, section: str, key: str) -> Entry | None:
        """The entry that decides about one key."""
        return next((entry for entry in reversed(self.entries) if (entry.section, entry.key) == (section, key)), None)


@dataclass(frozen=True)
class Config:
    """One configuration as it was read, typed and checked; never changed, only replaced as a whole.

    `hooks` are the options of each hook by its name, `rewrites` the entries of each `[rewrite NAME]` section in their
    order, `entries` all that is in force, `source` all that was read.
    """

    source: Source
    daemon: Daemon
    libvirt: Libvirt
    history: History
    audit: Audit
    enabled: tuple[str, ...]
    hooks: Mapping[str, Any]
    rewrites: Mapping[str, tuple[Entry, ...]]
    entries: tuple[Entry, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """Those that were read, in the order in which they are merged."""
        return self.source.files


def files_of(main: str) -> list[str]:
    """The files that make up the configuration of `main`, in the order in which they are merged. Hidden ones are none:
    editors leave such beside a file.

    Raises ConfigError for a folder that is there and can't be read: what is in it would silently not be in force.
    """
    folders = [*(VENDOR_FOLDERS if main == DEFAULT_FILE else ()), f"{main}.d"]
    drop_ins: list[str] = []
    problems: list[Problem] = []
    for folder in folders:
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(Problem(Origin(folder, 0), f"can't be read: {error.strerror}"))
            continue
        drop_ins += [f"{folder}/{name}" for name in names if name.endswith(".conf") and not name.startswith(".")]
    if problems:
        raise ConfigError(problems)
    return [main, *sorted(drop_ins, key=lambda file: (os.path.basename(file), folders.index(os.path.dirname(file))))]


def read(main: str) -> Source:
    """Read the files.

    A missing default file means defaults; any other missing file is an error. Raises ConfigError.
    """
    files: list[str] = []
    entries: list[Entry] = []
    problems: list[Problem] = []
    for file in files_of(main):
        try:
            content = _read(file)
        except FileNotFoundError:
            if file != DEFAULT_FILE:
                problems.append(Problem(Origin(file, 0), "no such file"))
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(Origin(file, 0), f"can't be read: {error}"))
            continue
        files.append(file)
        try:
            entries += _without_repeats(ini.parse(content, file))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return Source(tuple(files), tuple(entries))


def _read(file: str) -> str:
    """Raises OSError for a FIFO, too, which would hold up the start."""
    with open(file, encoding="utf-8", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
        if stat.S_ISFIFO(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is a FIFO", file)
        return opened.read()


def _without_repeats(entries: Iterable[Entry]) -> list[Entry]:
    """Between files a later value wins; within one file a second one is most likely a slip, but for rewrites'
    actions."""
    kept, problems = [], []
    first: dict[tuple[str, str], Entry] = {}
    for entry in entries:
        kept.append(entry)
        if not entry.key:
            continue
        before = first.setdefault((entry.section, entry.key), entry)
        if before is not entry and not _is_rewrite(entry):
            line = before.origin.line
            problems.append(Problem(entry.origin, f"[{entry.section}] {entry.key} is already set in line {line}"))
    if problems:
        raise ConfigError(problems)
    return kept


def _is_rewrite(entry: Entry) -> bool:
    return entry.section.startswith("rewrite ")


def build(source: Source, hook_sections: Mapping[str, type]) -> Config:
    """Check and type what was read. `hook_sections` gives the dataclass of options that each hook declares, by its
    name.

    Raises ConfigError with all that is wrong.
    """
    sections: dict[str, type] = {
        "daemon": Daemon,
        "libvirt": Libvirt,
        "history": History,
        "audit": Audit,
        "hooks": Hooks,
        **hook_sections,
    }
    tables = {name for section in sections.values() for name in options.tables(section)}
    effective = {name: options.defaults(name, section) for name, section in sections.items()}
    effective.update({name: {} for name in tables})
    rewrites: dict[str, list[Entry]] = {}
    problems = []
    for entry in source.entries:
        if _is_rewrite(entry):
            _add_to_rewrite(rewrites, entry)
        elif entry.section in effective:
            if entry.key:
                effective[entry.section][entry.key] = entry
        elif not entry.key:
            known = ", ".join([*effective, "rewrite NAME"])
            problems.append(Problem(entry.origin, f"no section [{entry.section}] is known (there are: {known})"))
    built: dict[str, Any] = {}
    for name, section in sections.items():
        try:
            of_tables = {table: effective[table].values() for table in options.tables(section)}
            built[name] = options.read_section(section, effective[name], of_tables)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    in_force = [*(section.values() for section in effective.values()), *rewrites.values()]
    return Config(
        source=source,
        daemon=built["daemon"],
        libvirt=built["libvirt"],
        history=built["history"],
        audit=built["audit"],
        enabled=built["hooks"].enabled,
        hooks={name: built[name] for name in hook_sections},
        rewrites={name: tuple(entries) for name, entries in rewrites.items()},
        entries=tuple(entry for section in in_force for entry in section if entry.key),
    )


def _add_to_rewrite(rewrites: dict[str, list[Entry]], entry: Entry) -> None:
    """A rewrite is one thing: a later file that has it again replaces all of it, in the later place."""
    name = entry.section.partition(" ")[2]
    if rewrites.get(name, [entry])[0].origin.file != entry.origin.file:
        del rewrites[name]
    rewrites.setdefault(name, []).append(entry)


def show(config: Config) -> str:
    """The effective configuration as INI, each value behind the file and line that set it."""
    lines, section = [], ""
    for entry in config.entries:
        if entry.section != section:
            section = entry.section
            lines += ["", f"[{section}]"]
        lines += [f"# {entry.origin}", f"{entry.key} = {entry.value}".replace("\n", "\n    ")]
    return "\n".join(lines[1:]) + "\n"
