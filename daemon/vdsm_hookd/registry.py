"""Which hooks there are, and the policy that a configuration makes of them and of its declared rewrites."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterable, Mapping

from vdsm_hookd import config, hooks, wake_table
from vdsm_hookd.config import Config, Hooks, Source
from vdsm_hookd.declared import rewrite
from vdsm_hookd.hook import Hook
from vdsm_hookd.ini import DEFAULT, ConfigError, Entry, Origin, Problem
from vdsm_hookd.options import words
from vdsm_hookd.policy import Policy, Rule

log = logging.getLogger(__name__)

ENTRY_POINTS = "vdsm_hookd.hooks"


def configure(main: str, overrides: Iterable[Entry] = ()) -> tuple[Config, Policy]:
    """Read, check and compile everything that the configuration in `main` says. Raises ConfigError."""
    return build(config.read(main), overrides)


def build(source: Source, overrides: Iterable[Entry] = ()) -> tuple[Config, Policy]:
    """Check and compile what was read; `overrides`, the command line's, win over it. Raises ConfigError."""
    source = source._replace(entries=(*source.entries, *overrides))
    try:
        return _build(source)
    except ConfigError:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # a package's code can raise anything
        log.exception("the configuration can't be loaded")
        place = source.files[0] if source.files else DEFAULT.file
        reason = f"can't be loaded: {type(error).__name__}: {error}"
        raise ConfigError([Problem(Origin(place, 0), reason)]) from error


def _build(source: Source) -> tuple[Config, Policy]:
    enabled = source.last("hooks", "enabled") or Entry("hooks", "enabled", " ".join(Hooks().enabled), DEFAULT)
    known = find(enabled)
    loaded = config.build(source, {name: hook.options for name, hook in known.items()})
    return loaded, compile_policy(loaded, known, enabled)


def find(enabled: Entry) -> dict[str, Hook]:
    """Every hook in hooks/, and those that `[hooks] enabled` names from installed packages, by name. Raises
    ConfigError."""
    modules = (
        importlib.import_module(f"{hooks.__name__}.{found.name}") for found in pkgutil.iter_modules(hooks.__path__)
    )
    known = {module.HOOK.name: module.HOOK for module in modules}
    problems = []
    for name in dict.fromkeys(words(enabled.value)):
        if name not in known:
            try:
                known[name] = _from_package(name)
            except (Exception, SystemExit, KeyboardInterrupt) as error:  # a package's import can raise anything
                problems.append(Problem(enabled.origin, f"[hooks] enabled: {name}: {error or type(error).__name__}"))
    if problems:
        raise ConfigError(problems)
    return known


def _from_package(name: str) -> Hook:
    """A third party's hook. Raises LookupError or TypeError, or what the package's import raises."""
    from importlib import metadata

    entry_points = metadata.entry_points()
    if hasattr(entry_points, "select"):
        group = list(entry_points.select(group=ENTRY_POINTS))
    else:  # Python 3.9
        group = list(entry_points.get(ENTRY_POINTS, ()))
    for entry_point in group:
        if entry_point.name == name:
            hook = entry_point.load()
            if not isinstance(hook, Hook) or hook.name != name:
                raise TypeError(f"{entry_point.value} is not a Hook of that name")
            return hook
    others = ", ".join(sorted(entry_point.name for entry_point in group)) or "none"
    raise LookupError(f"no such hook comes with vdsm-hookd or an installed package (packages have: {others})")


def compile_policy(loaded: Config, known: Mapping[str, Hook], enabled: Entry) -> Policy:
    """The rules in force: the enabled hooks in the order of their list, then the declared rewrites in file order."""
    rules = []
    for name in dict.fromkeys(loaded.enabled):
        hook, options = known[name], loaded.hooks[name]
        rules.append(Rule(hook, options, f"hook {name} ({enabled.origin})", always=hook.always(options)))
    problems: list[Problem] = []
    for name, entries in loaded.rewrites.items():
        try:
            rules.append(rewrite.compile_rule(name, entries))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    policy = Policy(rules, (hook for name, hook in known.items() if name not in loaded.enabled))
    size = len(policy.wake_table())
    if size > wake_table.MAX_SIZE:
        reason = f"the shim's wake table would have {size} bytes, more than {wake_table.MAX_SIZE}"
        raise ConfigError([Problem(enabled.origin, f"{reason}: let rewrites name fewer properties")])
    return policy
