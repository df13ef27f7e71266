"""vdsm's hook directories: what vdsm runs there and in which order, and whether the shim is linked where it should be.

vdsm runs what is a regular file or a link to one, executable, and not hidden, in the order of the names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vdsm_hookd.finding import Finding
from vdsm_hookd.hook import operand, plain

DIRECTORIES = "/usr/libexec/vdsm/hooks"
MASK = "/dev/null"
"""What a link leads to that stands for none: vdsm passes it over, and an upgrade leaves it alone."""
SHIM = "/usr/libexec/vdsm-hookd/hook-shim"


class Program(NamedTuple):
    """One entry of a hook directory. `kind` is `shim`, `link` (to something else), `script` (a file of its own) or
    `other`; `target` is where a link leads; `runs` tells whether vdsm runs it."""

    event: str
    name: str
    kind: str
    target: str
    runs: bool

    @property
    def hook(self) -> str:
        """The hook's name as the shim reads it: without two digits and an underscore."""
        digits = self.name[:2]
        return self.name[3:] if self.name[2:3] == "_" and digits.isascii() and digits.isdigit() else self.name


def read(directories: str = DIRECTORIES, shim: str = SHIM) -> list[Program]:
    """All that is there, by event, in the order in which vdsm runs it. Raises OSError where `directories` can't be
    read."""
    programs = []
    for event in sorted(entry.name for entry in os.scandir(directories) if entry.is_dir()):
        for name in sorted(os.listdir(f"{directories}/{event}")):
            programs.append(_program(Path(directories, event, name), event, os.path.realpath(shim)))
    return programs


def _program(path: Path, event: str, shim: str) -> Program:
    is_link, is_shim = path.is_symlink(), os.path.realpath(path) == shim
    try:
        mode = path.stat().st_mode
    except OSError:  # gone meanwhile, or a link to nothing
        mode = 0
    is_file = stat.S_ISREG(mode)
    kind = "shim" if is_shim else "link" if is_link else "script" if is_file else "other"
    runs = is_file and bool(mode & 0o111) and not path.name.startswith(".")
    return Program(event, path.name, kind, os.readlink(path) if is_link else "", runs)


def inspect(
    hooks: Mapping[str, Sequence[str]], directories: str = DIRECTORIES, shim: str = SHIM
) -> tuple[list[Program], list[Finding]]:
    """What is there and what is wrong, also with the directories as a whole and the shim itself."""
    try:
        programs = read(directories, shim)
    except OSError as error:
        what = f"can't be read ({error.strerror}), so vdsm runs no hook"
        return [], [Finding("no-directory", directories, what, "install vdsm, then the links (make install)")]
    found = findings(programs, hooks, directories, shim)
    mode = os.stat(shim).st_mode if os.path.isfile(shim) else 0
    if not mode & 0o111:
        what, remedy = "is missing or not executable, so vdsm runs none of the links", "install it again (make install)"
        found.append(Finding("no-shim", shim, what, f"chmod 755 {operand(shim)}, or {remedy}"))
    elif mode & 0o022:
        what = f"may be written by others (mode {stat.S_IMODE(mode):04o}), who are then vdsm"
        found.append(
            Finding("shim-rights", shim, what, f"chmod 755 {operand(shim)}, and install it again (make install)")
        )
    return programs, found


def findings(
    programs: Iterable[Program],
    hooks: Mapping[str, Sequence[str]],
    directories: str = DIRECTORIES,
    shim: str = SHIM,
) -> list[Finding]:
    """What is wrong. `hooks` are those that are enabled, each with the events that it serves."""
    by_place: dict[tuple[str, str], list[Program]] = {}
    for program in programs:
        by_place.setdefault((program.hook, program.event), []).append(program)
    found = []
    for hook, events in hooks.items():
        for event in events:
            found += _served(hook, event, by_place.get((hook, event), []), directories, shim)
    for (hook, event), there in by_place.items():
        if event not in hooks.get(hook, ()):
            found += _not_served(hook, hooks, [program for program in there if program.kind == "shim"], directories)
    return found


def _served(hook: str, event: str, there: Sequence[Program], directories: str, shim: str) -> list[Finding]:
    """Of a hook at an event that it serves."""
    if any(program.target == MASK for program in there):
        return []  # root does without it, as with a unit
    links = [program for program in there if program.kind == "shim"]
    place = f"{directories}/{event}"
    found = [
        finding
        for program in there
        if program not in links and (finding := _intruder(hook, program, place, shim, bool(links)))
    ]
    for program in links[1:]:
        path = f"{place}/{program.name}"
        what = f"runs {hook} a second time, after {links[0].name}"
        found.append(Finding("linked-twice", path, what, f"rm {operand(path)}"))
    if not links and not found:
        found.append(Finding("not-linked", place, f"has no link for {hook}", _linking(shim, f"{place}/50_{hook}")))
    return found


def _intruder(hook: str, program: Program, place: str, shim: str, is_linked: bool) -> Finding | None:
    """What stands under an enabled hook's name and is not its link, unless vdsm passes it over."""
    path = f"{place}/{program.name}"
    if program.kind == "link":
        what, remedy = f"leads to {program.target}, not to the shim", _linking(shim, path)
        return Finding("link-elsewhere", path, what, f"rm {operand(path)}" if is_linked else remedy)
    if program.kind == "script" and program.runs:
        what = f"is a program of its own, which runs {'beside' if is_linked else 'in place of'} vdsm-hookd's {hook}"
        remedy = f"remove it, with its package if it has one (rpm -qf {operand(path)})"
        return Finding("stock-script", path, what, remedy if is_linked else f"{remedy}, then {_linking(shim, path)}")
    return None


def _not_served(
    hook: str, hooks: Mapping[str, Sequence[str]], links: Sequence[Program], directories: str
) -> Iterator[Finding]:
    """Of links to the shim at an event that their hook, if there is one, does not serve."""
    for program in links:
        path = f"{directories}/{program.event}/{program.name}"
        if program.name.startswith("."):  # vdsm passes it over
            continue
        if hook in hooks:
            served = ", ".join(hooks[hook])
            what = f"is a link for an event that {hook} does not serve, which are {served}"
            yield Finding("event-not-served", path, what, f"rm {operand(path)}")
        else:
            what = f"is a link for {hook}, which is not enabled: what asks for it is refused"
            remedy = f"rm {operand(path)}, or add {plain(hook)} to [hooks] enabled and hookctl reload"
            yield Finding("not-enabled", path, what, remedy)


def _linking(shim: str, path: str) -> str:
    return f"mkdir -p {operand(os.path.dirname(path))} && ln -sfn {operand(shim)} {operand(path)}"
