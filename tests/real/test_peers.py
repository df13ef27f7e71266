"""Hostile environments and peers: who may decide what shim, daemon and hookctl do, and who may not."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests import faults
from tests.real.guest import sample
from tests.real.hookd import CONTROL_SOCKET, HOOK_SOCKET, Hookd, hookctl
from tests.real.makers import MakeHookd
from tests.real.peer import framed
from tests.real.test_hostile import CREATE, run_hook
from tests.real.wait import wait_for

INTERFACE = sample("interface.xml").encode()

VARIABLES = {
    "LD_PRELOAD": "LIBRARY",
    "LD_LIBRARY_PATH": "FOLDER",
    "LD_AUDIT": "/nonexistent/audit.so",
    "GLIBC_TUNABLES": "glibc.malloc.check=3:glibc.malloc.tcache_count=0",
    "MALLOC_PERTURB_": "165",
    "NOTIFY_SOCKET": "@nobody-listens-there",
    "JOURNAL_STREAM": "1:1",
    "WATCHDOG_USEC": "1",
    "LISTEN_FDS": "3",
    "LISTEN_FDNAMES": "hook:control:hook",
    "PYTHONPATH": "FOLDER",
    "PYTHONHOME": "FOLDER",
    "PYTHONSTARTUP": "FOLDER/sitecustomize.py",
    "PYTHONINSPECT": "1",
    "PYTHONBREAKPOINT": "os.abort",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "utf-16",
    "PYTHONUTF8": "0",
    "PYTHONPYCACHEPREFIX": "FOLDER",
    "LIBVIRT_DEFAULT_URI": "test:///default",
    "LIBVIRT_DEBUG": "1",
    "LIBVIRT_LOG_OUTPUTS": "1:file:FOLDER/libvirt.log",
    "XML_CATALOG_FILES": "FOLDER/catalog",
    "VDSM_HOOKD_CONFIG": "/nonexistent",
    "HOOKD_LIBVIRT_URI": "/nonexistent",
    "XDG_CONFIG_HOME": "FOLDER",
    "HOME": "/nonexistent",
    "LC_ALL": "tr_TR.ISO-8859-9",
    "TZ": "FOLDER/zone",
    "TMPDIR": "/nonexistent",
}
"""What decides how a program behaves, or looks as if it did."""


@pytest.fixture
def trap_folder(tmp_path: Path) -> Path:
    """Modules and a library that tell when anybody loads them."""
    folder = tmp_path / "trap"
    folder.mkdir()
    told = f"open({str(folder / 'loaded')!r}, 'a').write(__name__)\n"
    for name in ("sitecustomize", "usercustomize", "lxml", "msgpack", "libvirt", "vdsm_hookd", "logging"):
        (folder / f"{name}.py").write_text(told)
    source = folder / "trap.c"
    source.write_text(
        "#include <fcntl.h>\n#include <unistd.h>\n__attribute__((constructor)) static void load(void) "
        f'{{ close(open("{folder}/loaded", O_CREAT | O_WRONLY, 0600)); }}\n'
    )
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(folder / "trap.so"), str(source)], check=True)
    return folder


def trapped(folder: Path) -> dict[bytes, bytes]:
    values = {
        name: value.replace("LIBRARY", f"{folder}/trap.so").replace("FOLDER", str(folder))
        for name, value in VARIABLES.items()
    }
    return {name.encode(): value.encode() for name, value in values.items()}


@pytest.mark.needs_tools
def test_no_variable_of_a_request_changes_shim_or_daemon(
    make_hookd: MakeHookd, test_node: str, extnet: Path, trap_folder: Path
) -> None:
    """All of what vdsm hands to the hook: with each variable, with all of them, and with 10 000 more."""
    hookd = make_hookd(test_node)
    all_of_them = trapped(trap_folder)
    many = {b"v%d" % number: b"x" * 100 for number in range(10_000)}
    environments = [{name: value} for name, value in all_of_them.items()] + [all_of_them, {**all_of_them, **many}]
    for environment in environments:
        readable = {os.fsdecode(name): value for name, value in environment.items()}
        done = run_hook(extnet, CREATE, "extnet", INTERFACE, {**readable, "extnet": b"glitter"})
        assert (done.status, done.stderr, done.litter) == (0, b"", []), environment
        assert b'<source network="glitter"/>' in done.document
        assert run_hook(extnet, CREATE, "extnet", INTERFACE, readable).document == INTERFACE
    assert not (trap_folder / "loaded").exists()
    wait_for(lambda: hookd.ask("history", last=0)["last"] == len(environments), "all decisions")
    records = hookd.ask("history", last=1000)["records"]
    assert {tuple(record["properties"].items()) for record in records} == {(("extnet", "glitter"),)}
    faults.held("hostile-environment", 2 * len(environments), "no effect on shim and daemon")


@pytest.mark.own_process
@pytest.mark.parametrize("of", ["PYTHON", "LIBVIRT", "WATCHDOG", ""])
def test_no_variable_of_the_daemon_changes_it(
    private_host: None, tmp_path: Path, test_node: str, extnet: Path, trap_folder: Path, of: str
) -> None:
    """It runs as its installed command runs: isolated (-I). What a loader obeys root sets, and nobody else; but nothing
    that vdsm or a user may have set for itself is a setting here."""
    # The loader's own, and that by which the test is told of the start.
    excepted = (b"LD_PRELOAD", b"LD_LIBRARY_PATH", b"LD_AUDIT", b"NOTIFY_SOCKET")
    values = {
        name: value
        for name, value in trapped(trap_folder).items()
        if name.startswith(of.encode()) and name not in excepted
    }
    more = [b"%s=%s" % item for item in values.items()] + [b"v%d=x" % number for number in range(5000)]
    hookd = Hookd(tmp_path, test_node, environment=map(os.fsdecode, more), isolated=True)
    hookd.start()
    try:
        done = run_hook(extnet, CREATE, "extnet", INTERFACE, {"extnet": b"glitter"})
        assert (done.status, done.stderr) == (0, b"")
        assert b'<source network="glitter"/>' in done.document
        assert hookd.ask("status")["libvirt"]["uri"] == test_node
        assert not (trap_folder / "loaded").exists()
    finally:
        hookd.close()
    faults.held("hostile-environment", len(values), "no effect on the daemon")


# Peers

NOBODY = 65534


def as_nobody(script: str, *arguments: str) -> subprocess.Popen[str]:
    """A program of another user; returns when it has printed a line."""
    command = [sys.executable, "-c", script, *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=NOBODY, group=NOBODY, extra_groups=[]
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


ASK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(sys.argv[1])
    sock.sendall(bytes.fromhex(sys.argv[2]))
    sys.stdout.buffer.write(b"".join(iter(lambda: sock.recv(65536), b"")))
"""


def asked_by_nobody(path: Path, message: bytes) -> bytes:
    command = [sys.executable, "-c", ASK, str(path), message.hex()]
    return subprocess.run(
        command, user=NOBODY, group=NOBODY, extra_groups=[], capture_output=True, timeout=20, check=True
    ).stdout


def test_another_user_gets_no_answer_but_not_permitted(make_hookd: MakeHookd, test_node: str) -> None:
    """Though the sockets' modes, or the directory's, let him in: the kernel says who he is."""
    hookd = make_hookd(test_node)
    for path in (HOOK_SOCKET, CONTROL_SOCKET):
        path.chmod(0o666)
    request = framed([1, CREATE, "extnet", {"extnet": b"glitter"}, INTERFACE])
    tries = 0
    for message in (request, framed([1, "frobnicate"]), b"\0\0\0\1\xc1"):
        assert b"not-permitted: uid 65534" in asked_by_nobody(HOOK_SOCKET, message)
        tries += 1
    for verb in ("status", "history", "networks", "reload", "metrics", "replay", "explain", "audit", "policy", "x"):
        told = asked_by_nobody(CONTROL_SOCKET, framed([1, verb, {}]))
        assert b"not-permitted" in told
        assert b"uid 65534" in told
        tries += 1
    assert hookd.ask("status")["requests"] == {"unchanged": 0, "rewritten": 0, "refused": 0, "held": 0}
    faults.held("wrong-peers", tries, "refused, and nothing decided")


IMPOSTOR = """
import socket, sys
with socket.socket(socket.AF_UNIX) as sock:
    sock.bind(sys.argv[1])
    sock.listen()
    print(flush=True)
    while True:
        client, _ = sock.accept()
        client.settimeout(0.5)
        try:
            got = client.recv(1 << 20)
            client.sendall(bytes.fromhex(sys.argv[2]))
        except OSError:
            pass
        client.close()
"""


def test_an_impostor_is_believed_by_neither_shim_nor_hookctl(private_host: None, extnet: Path) -> None:
    """A socket of another user in the daemon's place: it can't hand XML to VMs, nor tell an operator anything."""
    HOOK_SOCKET.parent.mkdir(exist_ok=True)
    mode = HOOK_SOCKET.parent.stat().st_mode
    HOOK_SOCKET.parent.chmod(0o777)
    lies = {
        HOOK_SOCKET: framed([1, "rewritten", b"<interface><source network='evil'/></interface>", []]),
        CONTROL_SOCKET: framed([1, True, {"degraded": "all is well", "networks": []}]),
    }
    impostors = [as_nobody(IMPOSTOR, str(path), lie.hex()) for path, lie in lies.items()]
    try:
        done = run_hook(extnet, CREATE, "extnet", INTERFACE, {"extnet": b"glitter"})
        assert (done.status, done.code, done.document) == (2, "not-permitted", INTERFACE)
        assert run_hook(extnet, CREATE, "extnet", INTERFACE, {}).status == 0
        for verb in ("status", "networks", "reload", "history", "metrics"):
            told = hookctl(verb)
            assert (told.returncode, told.stdout) == (77, ""), verb
            assert "served neither by root nor by" in told.stderr
    finally:
        for impostor in impostors:
            impostor.kill()
            impostor.communicate()
        for path in lies:
            path.unlink(missing_ok=True)
        HOOK_SOCKET.parent.chmod(mode)
    faults.held("wrong-peers", 7, "an impostor is refused by shim and hookctl")


NONSENSE = {
    "nothing": b"",
    "half a head": b"\0\0",
    "half a frame": framed([1, True, {}])[:-1],
    "no msgpack": b"\0\0\0\1\xc1",
    "a number": framed(1),
    "an empty array": framed([]),
    "a map": framed({"a": 1}),
    "another version": framed([2, True, {}]),
    "a refusal that is none": framed([1, False, "why"]),
    "a refusal without a code": framed([1, False, {"message": "why"}]),
    "4 GiB": b"\xff\xff\xff\xff",
    "deep": framed([1, True, 0])[:4].replace(b"\x03", b"\x40") + b"\x91" * 64,
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_an_answer_that_is_none_ends_hookctl_with_a_line(tmp_path: Path, kind: str) -> None:
    """Whoever gave it: no traceback, and no memory for what is only announced."""
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        process = subprocess.Popen(
            [str(Path(sys.executable).parent / "hookctl"), "--socket", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        client, _ = sock.accept()
        with client:
            client.settimeout(10)
            client.recv(65536)
            client.sendall(NONSENSE[kind])
        output, errors = process.communicate(timeout=20)
    assert (process.returncode, output) == (69, "")
    assert re.fullmatch(r"hookctl: no daemon answers on .*\n", errors), errors
    faults.held("random-frames", 1, "no answer that is none is taken by hookctl")
