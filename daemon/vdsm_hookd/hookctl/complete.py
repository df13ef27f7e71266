"""hookctl complete: what may come next on a command line, for the shell's completion.

All of it is read from the parsers, so a new verb or option completes by itself; names come from the running daemon.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from vdsm_hookd import cli, client, hookctl

_TIMEOUT = 1.0
"""Seconds that a key press may wait for the daemon."""
_NETWORK_PROPERTIES = ("extnet",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line so far."""
    parser.add_argument(
        "words", metavar="WORD", nargs="*", help="all words behind `hookctl`; the last, maybe empty, is to be completed"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints a line for each word that fits. Returns 1 where the name of a file has to come."""
    words = _joined(arguments.words or [""])
    line = _read(words[:-1])
    found = line.candidates(words[-1])
    if found is None:
        return cli.FINDING
    # bash splits words at `=`, and puts in only what stands behind it.
    typed = (arguments.words or [""])[-1]
    done = len(words[-1]) - (0 if typed == "=" else len(typed))
    for candidate in sorted(set(found)):
        if candidate.startswith(words[-1]):
            print(candidate[done:])
    return cli.OK


def _joined(words: Iterable[str]) -> list[str]:
    """The words as the user sees them: the shell has split them at each `=`."""
    joined: list[str] = []
    for word in words:
        if joined and (word == "=" or joined[-1].endswith("=")):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


class _Line(NamedTuple):
    """A command line up to the word that is to be completed: its verb, if it has one, the parser that is in charge, the
    option that waits for its value, and how many words there are that are neither."""

    verb: str
    parser: argparse.ArgumentParser
    waiting: argparse.Action | None
    plain: int
    socket: str

    def candidates(self, word: str) -> Iterable[str] | None:
        """The words that fit here, also those that do not begin so; None where a file's name fits."""
        if self.waiting is not None:
            return self._values(self.waiting, word)
        if word.startswith("-"):
            option, equals, _value = word.partition("=")
            if not equals:
                return _options(self.parser)
            action = _options(self.parser).get(option)
            values = self._values(action, word[len(option) + 1 :]) if action is not None else ()
            return None if values is None else [f"{option}={value}" for value in values]
        if not self.verb:
            return [verb for verb in hookctl.VERBS if verb != "complete"] if not self.plain else ()
        positional = [action for action in self.parser._actions if not action.option_strings]
        return self._values(positional[self.plain], word) if self.plain < len(positional) else ()

    def _values(self, action: argparse.Action, word: str) -> Iterable[str] | None:
        if action.choices is not None:
            return list(map(str, action.choices))
        if action.metavar == "NAME=VALUE":
            name = word.partition("=")[0]
            properties = [name for hook in self._ask("hooks") for name in hook["properties"]]
            if word == name:
                return [f"{each}=" for each in (*properties, "vmId")]
            return [f"{name}={each['name']}" for each in self._ask("networks")] if name in _NETWORK_PROPERTIES else ()
        if action.metavar == "EVENT":
            return self._events()
        if action.metavar == "HOOK":
            return [hook["name"] for hook in self._ask("hooks")]
        if action.metavar == "NAME":
            return [network["name"] for network in self._ask("networks")]
        if action.metavar == "ID":
            return self._remembered("vm_id" if action.option_strings else "id")
        if action.metavar == "N":
            return ()
        return None

    def _events(self) -> Iterable[str]:
        from vdsm_hookd.events import XML_EVENTS

        return [event for hook in self._ask("hooks") for event in hook["events"]] or XML_EVENTS

    def _remembered(self, key: str) -> Iterable[str]:
        """The VMs, or the numbers, of the decisions that the daemon remembers."""
        answer = self._answer("history")
        records = answer.get("records", ()) if isinstance(answer, dict) else ()
        return [str(record[key]) for record in records if record.get(key)]

    def _ask(self, verb: str) -> Sequence[dict[str, Any]]:
        answer = self._answer(verb)
        return answer if isinstance(answer, list) else ()

    def _answer(self, verb: str) -> Any:
        """None where the daemon is silent: nobody asked for a message in the middle of a command line."""
        try:
            return client.ask(self.socket, verb, {}, _TIMEOUT)
        except (client.Unreachable, client.NotPermitted, client.Refused):
            return None


def _read(words: Sequence[str]) -> _Line:
    whole, verbs = hookctl.parser()
    line = _Line("", whole, None, 0, hookctl.DEFAULT_SOCKET)
    for word in words:
        option, equals, value = word.partition("=")
        if line.waiting is not None:
            line = line._replace(waiting=None, socket=word if line.waiting.dest == "socket" else line.socket)
        elif word.startswith("-") and word != "-":
            action = _options(line.parser).get(option)
            if action is not None and action.nargs != 0:
                line = line._replace(waiting=None if equals else action)
                if equals and action.dest == "socket":
                    line = line._replace(socket=value)
        elif not line.verb and word in verbs:
            verbs[word].learn()
            line = line._replace(verb=word, parser=verbs[word])
        else:
            line = line._replace(plain=line.plain + 1)
    return line


def _options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """The actions by their options."""
    return {option: action for action in parser._actions for option in action.option_strings}
