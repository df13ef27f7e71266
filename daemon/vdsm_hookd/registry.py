"""Which hooks there are, and the policy that a configuration makes of them."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from vdsm_hookd import hooks
from vdsm_hookd.config import Config
from vdsm_hookd.decision import Policy, Rule
from vdsm_hookd.hook import Hook


def load() -> dict[str, Hook]:
    """Every hook in hooks/, by name."""
    found = (
        importlib.import_module(f"{hooks.__name__}.{module.name}").HOOK
        for module in pkgutil.iter_modules(hooks.__path__)
    )
    return {hook.name: hook for hook in sorted(found, key=lambda hook: hook.name)}


def sections(known: Mapping[str, Hook]) -> dict[str, type]:
    """The configuration sections that the hooks declare."""
    return {name: hook.options for name, hook in known.items()}


def policy(known: Mapping[str, Hook], config: Config) -> Policy:
    """The rules that serve requests under this configuration."""
    return Policy({name: Rule(hook, config.hooks[name], f"hook {name}") for name, hook in known.items()})
