"""Whether a host is ready to serve hooks: its users, sockets, units, libvirt, schema and the shim's wake table."""

from __future__ import annotations

import errno
import os
import pwd
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from vdsm_hookd import client, network_list, schema, virsh, wake_table
from vdsm_hookd.config import Config
from vdsm_hookd.decision import Request, decide
from vdsm_hookd.finding import Finding
from vdsm_hookd.hook import operand, plain
from vdsm_hookd.host import Host
from vdsm_hookd.networks import NetworkView
from vdsm_hookd.policy import Policy

SERVICE_USER = "vdsm-hookd"
UNITS = ("vdsm-hookd.service", "vdsm-hookd.socket", "vdsm-hookd-control.socket")
_SYSTEMCTL_TIMEOUT = 10.0  # seconds
_NEW_SOCKETS = (
    "systemctl stop vdsm-hookd.service && systemctl restart vdsm-hookd.socket vdsm-hookd-control.socket"
    " && systemctl start vdsm-hookd.service"
)


def users(config: Config) -> Iterator[Finding]:
    """The user whose hooks are served, and the service's own."""
    if _uid(config.daemon.vdsm_user) is None:
        what = "does not exist, so only root's hooks are served"
        remedy = "install vdsm, or correct [daemon] vdsm_user"
        yield Finding("no-user", f"user {config.daemon.vdsm_user}", what, remedy)
    if _uid(SERVICE_USER) is None:
        what = "does not exist, so the service can't start"
        yield Finding("no-user", f"user {SERVICE_USER}", what, "run systemd-sysusers")


def sockets(config: Config) -> Iterator[Finding]:
    """Who may call the daemon: vdsm on the one, nobody but root and the operators' group on the other."""
    vdsm = config.daemon.vdsm_user
    for path, what, owner, forbidden in (
        (config.daemon.hook_socket, "the hook socket", vdsm, 0o177),
        (config.daemon.control_socket, "the control socket", "", 0o117),
    ):
        try:
            status = os.stat(path)
        except OSError as error:
            remedy = "systemctl enable --now vdsm-hookd.socket vdsm-hookd-control.socket"
            yield Finding("no-socket", path, f"can't be found ({error.strerror})", remedy)
            continue
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISSOCK(status.st_mode):
            yield Finding("no-socket", path, "is no socket", f"rm {operand(path)} && {_NEW_SOCKETS}")
        elif mode & forbidden:
            allowed = 0o777 & ~forbidden
            text = f"({what}) has mode {mode:04o}, more than {allowed:04o}"
            yield Finding("socket-rights", path, text, f"take out what sets SocketMode, then {_NEW_SOCKETS}")
        elif owner and (uid := _uid(owner)) is not None and status.st_uid != uid:
            text = f"({what}) belongs to {_user(status.st_uid)}, so {owner} can't call"
            yield Finding(
                "socket-rights", path, text, f"set SocketUser={plain(owner)} in vdsm-hookd.socket, then {_NEW_SOCKETS}"
            )


def units() -> Iterator[Finding]:
    """Whether systemd starts the service and holds its sockets, now and after a reboot."""
    try:
        for unit in UNITS:
            yield from _unit(unit)
    except (OSError, subprocess.TimeoutExpired) as error:
        why = "it took too long" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
        remedy = "run vdsm-hookd under systemd, which restarts it and keeps its sockets"
        yield Finding("no-systemd", "systemctl", f"can't tell the units' states: {why}", remedy)


def _unit(unit: str) -> Iterator[Finding]:
    """Raises OSError or TimeoutExpired where systemd can't be asked."""
    enabled, active = _systemctl("is-enabled", unit), _systemctl("is-active", unit)
    if "No such file" in enabled or enabled == "not-found":
        yield Finding("no-unit", unit, "is not installed", "install it again (make install), systemctl daemon-reload")
        return
    if enabled != "enabled":
        remedy = f"systemctl unmask {unit}, then enable it" if "masked" in enabled else f"systemctl enable {unit}"
        yield Finding("unit-not-enabled", unit, f"is {enabled}, so a reboot does not start it", remedy)
    if active not in ("active", "reloading"):
        remedy = f"systemctl start {unit}; journalctl -u {unit} says why it is so"
        yield Finding("unit-not-active", unit, f"is {active}", remedy)


def daemon(control_socket: str) -> Iterator[Finding]:
    """Whether it answers."""
    try:
        client.ask(control_socket, "status", {})
    except client.NotPermitted as error:
        yield Finding("not-permitted", "vdsm-hookd", f"does not answer this user ({error})", "check as root")
    except (client.Unreachable, client.Refused) as error:
        remedy = "systemctl start vdsm-hookd.service; systemctl status vdsm-hookd says more"
        yield Finding("daemon-unreachable", "vdsm-hookd", f"does not answer ({error})", remedy)


def libvirt(config: Config, policy: Policy) -> Iterator[Finding]:
    """Whether its networks can be read and have their bridges, and those that [map] names are good for a vNIC."""
    view = network_list.read(config.libvirt.uri)
    if view.outage:
        remedy = "see to libvirt (systemctl status libvirtd virtnetworkd), or correct [libvirt] uri"
        yield Finding("libvirt-unavailable", "libvirt", f"is out of reach: {view.outage}", remedy)
        return
    if not config.libvirt.uri.startswith("test:"):  # that driver's networks are on no host
        yield from _bridges(view)
    for entry in config.entries:
        if entry.section == "map" and "extnet" in config.enabled:
            vnic = etree.Element("interface", type="bridge")
            etree.SubElement(vnic, "source", bridge=entry.key)
            made = decide(Request("before_device_create", "extnet", {}, etree.tostring(vnic)), policy, view)
            if made.outcome == "refused":
                what = f"({entry.key} = {entry.value}) would stop every vNIC of that network: {made.what}"
                yield Finding(made.code, str(entry.origin), what, made.remedy)


def _bridges(view: NetworkView) -> Iterator[Finding]:
    """libvirt calls a network active though its bridge was deleted, and then starts no VM on it."""
    for network in view.by_name.values():
        if network.active and network.bridge and not Host().has_interface(network.bridge):
            remedy = f"make it again; libvirt's own come back with a new start ({virsh.restart(network.name)})"
            what = f"is active, but this host has no bridge {network.bridge}, so libvirt starts no VM on it"
            yield Finding("bridge-missing", f"network {network.name}", what, remedy)


def schemas(folder: Path = schema.SCHEMAS) -> Iterator[Finding]:
    """What `hookctl check` of a document needs."""
    for name in ("domain.rng", "domaincommon.rng"):
        if not (folder / name).is_file():
            what = "is missing: hookctl check can't hold a document against it"
            yield Finding("no-schema", str(folder / name), what, "install libvirt-libs (EL) or libvirt-common (Debian)")


def wake(config: Config, policy: Policy) -> Iterator[Finding]:
    """The shim's wake table: there, nobody else's to write, and what the configuration says."""
    path = wake_table.path_for(config.daemon.hook_socket)
    restart = "systemctl restart vdsm-hookd.service"
    try:
        status = os.stat(path)
        text = Path(path).read_text("ascii", "replace")
    except OSError as error:
        what = f"(the shim's wake table) can't be read: {error.strerror}"
        yield Finding("no-wake-table", path, what, f"{restart}, which writes it")
        return
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o044 != 0o044:
        what = "(the shim's wake table) is no file that everybody may read, so the shim does not rely on it"
        yield Finding("wake-table-rights", path, what, f"rm {operand(path)} && {restart}")
    for place, mode in ((path, status.st_mode), (os.path.dirname(path), os.stat(os.path.dirname(path)).st_mode)):
        if mode & 0o022:
            what = f"may be written by others (mode {stat.S_IMODE(mode):04o}), who then decide what wakes the shim"
            yield Finding("wake-table-rights", place, what, f"chmod go-w {operand(place)}")
    if text != policy.wake_table():
        what = "(the shim's wake table) is not what the configuration says: it is not in force"
        yield Finding("not-in-force", path, what, "hookctl reload")


def _systemctl(question: str, unit: str) -> str:
    """systemctl's one word, or what it complains about. Raises OSError or TimeoutExpired."""
    if not os.path.isdir("/run/systemd/system"):  # as sd_booted(3) does
        raise OSError(errno.ENOTSUP, "this host was not booted with systemd")
    environment = {**os.environ, "LC_ALL": "C"}
    run = subprocess.run(
        ["systemctl", question, unit],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SYSTEMCTL_TIMEOUT,
        env=environment,
        check=False,
    )
    return (run.stdout.strip() or run.stderr.strip()).split("\n")[0]


def _uid(user: str) -> int | None:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        return None


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
