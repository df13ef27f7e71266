"""vdsm-hookd: start, serve, stop."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Callable

from vdsm_hookd import __version__, cli, config, journal, registry, server, systemd, wake_table
from vdsm_hookd.config import Config
from vdsm_hookd.ini import ConfigError, Entry, Origin, Problem
from vdsm_hookd.kept import Kept, Unusable
from vdsm_hookd.policy import Policy
from vdsm_hookd.questions import Questions
from vdsm_hookd.server import Server
from vdsm_hookd.service import Service

FIRST_SYNC_TIMEOUT = 1.0
"""Seconds that the start waits for libvirt: READY comes without it too, for requests that do not need it."""
STATUS_INTERVAL = 10.0
_SWITCH_INTERVAL = 0.0005


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon; returns its exit status."""
    arguments = _parse(argv)

    def load() -> tuple[Config, Policy]:
        return registry.configure(arguments.config, _overrides(arguments))

    journal.set_up()
    loop = Server()
    try:
        if arguments.check_config or arguments.show_config:
            loaded, _policy = load()
            print(config.show(loaded) if arguments.show_config else f"{arguments.config}: the configuration is good")
            return cli.OK
        handed = systemd.take_sockets(os.environ)
        kept = Kept(wake_table.path_for(_hook_socket(arguments, handed), "configuration"), arguments.config)
        first, failure = _first(arguments, load, kept)
        mine = "hook" in handed or first[0].daemon.hook_socket == _hook_socket(arguments, handed)
        return _serve(Service(load, loop, first, failure), loop, handed, kept if mine else None)
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        return cli.EX_DATAERR
    except (OSError, ValueError) as error:
        print(f"vdsm-hookd: {error}", file=sys.stderr)
        return cli.EX_OSERR


def _hook_socket(arguments: argparse.Namespace, handed: Mapping[str, socket.socket]) -> str:
    """The hook socket's path, as far as it is known without the configuration: else that of a host."""
    if "hook" in handed:
        return str(handed["hook"].getsockname())
    return str(arguments.hook_socket or wake_table.DEFAULT_SOCKET)


def _first(
    arguments: argparse.Namespace, load: Callable[[], tuple[Config, Policy]], kept: Kept
) -> tuple[tuple[Config, Policy], str]:
    """The configuration to start with, and why it is not the one on disk: then it is the one that was last in force.

    Raises ConfigError without either.
    """
    try:
        return load(), ""
    except ConfigError as error:
        try:
            source = kept.load()
            if source is None:
                raise
            serving = registry.build(source, _overrides(arguments))
        except (Unusable, ConfigError) as unusable:
            if unusable is error:
                raise
            reason = f"can't serve in its place: {unusable}"
            raise ConfigError([*error.problems, Problem(Origin(kept.path, 0), reason)]) from None
        return serving, str(error)


def _serve(service: Service, loop: Server, handed: Mapping[str, socket.socket], kept: Kept | None) -> int:
    # The watch's thread parses XML now and then; a request must not wait 5 ms, Python's default, for its turn.
    sys.setswitchinterval(_SWITCH_INTERVAL)
    sockets, own_sockets = _sockets(service, handed)
    service.sockets = {name: sock.getsockname() for name, sock in sockets.items()}
    service.keep_wake_table(wake_table.path_for(sockets["hook"].getsockname()))
    service.watch.start()
    loop.add(service.listener(sockets["hook"]))
    loop.add(Questions(service, own_user_reloads="control" in own_sockets).listener(sockets["control"]))
    _handle_signals(service, loop)
    service.watch.wait_synced(FIRST_SYNC_TIMEOUT)
    gc.freeze()  # all that is here stays: the collector need not walk it again under a request
    _keep_alive(service, loop)
    journal.log.info(
        "vdsm-hookd %s serves %s: %s",
        __version__,
        ", ".join(service.sockets.values()),
        service.summary(),
    )
    if service.reload_failure:
        journal.kept_serves(service.reload_failure)
    systemd.notify_ready(service.summary())
    if kept is not None:
        loop.call_later(0, lambda: service.keep_configuration(kept))
    loop.run()
    service.settle()
    for path in own_sockets.values():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
    loop.close()
    return cli.OK


def _sockets(service: Service, handed: Mapping[str, socket.socket]) -> tuple[dict[str, socket.socket], dict[str, str]]:
    """The listening sockets by name, systemd's or our own, and the paths of our own ones."""
    sockets, own_sockets = dict(handed), {}
    loaded = service.config.daemon
    for name, path in (("hook", loaded.hook_socket), ("control", loaded.control_socket)):
        if name not in sockets:
            sockets[name] = server.bind(path, 0o600)
            own_sockets[name] = path
    if "control" in own_sockets and service.control_group is not None:
        os.chown(own_sockets["control"], -1, service.control_group)
        os.chmod(own_sockets["control"], 0o660)
    return sockets, own_sockets


def _handle_signals(service: Service, loop: Server) -> None:
    def stop() -> None:
        systemd.notify_stopping()
        service.followers.release()  # or the stop would wait for them
        loop.stop()

    def reload() -> None:
        with contextlib.suppress(ConfigError):  # it is in the journal, and the old configuration serves on
            service.reload()

    # A signal may come between any two steps of the loop, so it only leaves a call for the loop to make.
    signal.set_wakeup_fd(loop.wakeup_fd, warn_on_full_buffer=False)
    calls = {signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: reload}
    for number in calls:
        signal.signal(number, lambda signum, frame: loop.call_threadsafe(calls[signal.Signals(signum)]))


def _keep_alive(service: Service, loop: Server) -> None:
    """Ping the watchdog from the loop that answers requests: if it hangs, the daemon is no use."""
    interval = systemd.watchdog_interval(os.environ) or STATUS_INTERVAL

    def ping() -> None:
        systemd.notify_alive(service.summary())
        journal.tell_lost()
        loop.call_later(interval, ping)

    ping()


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.Parser(prog="vdsm-hookd", description="Rewrites VM definitions for vdsm's hooks.")
    parser.add_argument(
        "--config", metavar="FILE", default=config.DEFAULT_FILE, help="the configuration (default: %(default)s)"
    )
    parser.add_argument("--libvirt-uri", metavar="URI", help="wins over [libvirt] uri")
    parser.add_argument("--hook-socket", metavar="PATH", help="wins over [daemon] hook_socket")
    parser.add_argument("--control-socket", metavar="PATH", help="wins over [daemon] control_socket")
    parser.add_argument(
        "--show-config", action="store_true", help="print the effective configuration with its sources, and exit"
    )
    parser.add_argument(
        "--check-config", action="store_true", help="exit 65 with file, line and reason if the configuration is bad"
    )
    parser.add_argument("--version", action="version", version=f"vdsm-hookd {__version__}")
    return parser.parse_args(argv)


def _overrides(arguments: argparse.Namespace) -> list[Entry]:
    given = [
        ("libvirt", "uri", "--libvirt-uri", arguments.libvirt_uri),
        ("daemon", "hook_socket", "--hook-socket", arguments.hook_socket),
        ("daemon", "control_socket", "--control-socket", arguments.control_socket),
    ]
    return [Entry(section, key, value, Origin(flag, 0)) for section, key, flag, value in given if value is not None]


if __name__ == "__main__":
    sys.exit(main())
