"""The daemon as a service: what it tells systemd, reloads, stops, and clients that misbehave."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.real.guest import sample
from tests.real.hookd import CONTROL_SOCKET, HOOK_SOCKET, RUN, VDSM_HOOKD, Hookd, hookctl
from tests.real.makers import MakeHookd
from tests.real.peer import answer, connected, framed
from tests.real.wait import wait_for
from tests.vdsm import run_hooks

CREATE = "before_device_create"
KEPT = Path("/var/lib/vdsm-hookd/configuration")
DENY = "[extnet]\ndeny = glitter\n"


def code(extnet: Path) -> str:
    run = run_hooks(extnet, CREATE, sample("interface.xml"), {"extnet": "glitter"})
    return run.stderr.split(": ")[1] if run.failed else ""


@pytest.mark.own_process
def test_systemd_is_told_of_start_reload_and_stop(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node)
    assert "STATUS=3 of 3 networks active" in hookd.told()
    os.kill(hookd.pid, signal.SIGHUP)
    wait_for(lambda: hookd.told().count("READY=1") == 2, "ready after the reload")
    assert hookd.told().index("RELOADING=1") > hookd.told().index("READY=1")
    assert any(line.startswith("MONOTONIC_USEC=") for line in hookd.told())
    hookd.stop()
    assert "STOPPING=1" in hookd.told()
    assert not HOOK_SOCKET.exists()
    assert not CONTROL_SOCKET.exists()


@pytest.mark.own_process
def test_the_watchdog_is_pinged_at_half_its_time(private_host: None, tmp_path: Path, test_node: str) -> None:
    hookd = Hookd(tmp_path, test_node, environment=["WATCHDOG_USEC=400000"])
    hookd.start()
    try:
        wait_for(lambda: hookd.told().count("WATCHDOG=1") >= 5, "pings", 3)
        started = time.monotonic()
        count = hookd.told().count("WATCHDOG=1")
        wait_for(lambda: hookd.told().count("WATCHDOG=1") >= count + 5, "pings", 3)
        assert 0.8 < time.monotonic() - started < 3
    finally:
        hookd.close()


@pytest.mark.own_process
def test_the_watchdog_is_pinged_though_clients_took_all_descriptors(
    private_host: None, tmp_path: Path, test_node: str
) -> None:
    hookd = Hookd(tmp_path, test_node, environment=["WATCHDOG_USEC=400000"])
    hookd.start()
    try:
        subprocess.run(["prlimit", f"--pid={hookd.pid}", "--nofile=32:32"], check=True)
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(connected())
            wait_for(lambda: "can't accept" in hookd.logged(), "the shortage in the log")
            count = hookd.told().count("WATCHDOG=1")
            wait_for(lambda: hookd.told().count("WATCHDOG=1") >= count + 3, "more pings", 1.5)
    finally:
        hookd.close()


def test_a_reload_is_all_or_nothing(make_hookd: MakeHookd, test_node: str, extnet: Path) -> None:
    hookd = make_hookd(test_node)
    assert code(extnet) == ""
    hookd.configuration.write_text(DENY)
    assert hookctl("reload").returncode == 0
    assert code(extnet) == "network-not-allowed"
    hookd.configuration.write_text("[extnet]\nincompatible = keep\ndeny =\nalow = x\n")
    refused = hookctl("reload")
    assert refused.returncode == 65
    assert f"{hookd.configuration}:4: [extnet] has no option 'alow'" in refused.stderr
    assert "the old configuration stays in force" in refused.stderr
    assert code(extnet) == "network-not-allowed"
    os.kill(hookd.pid, signal.SIGHUP)
    wait_for(lambda: hookd.logged().count("was not reloaded") == 2, "the failed reload in the log")
    assert code(extnet) == "network-not-allowed"
    hookd.configuration.write_text("")
    os.kill(hookd.pid, signal.SIGHUP)
    wait_for(lambda: code(extnet) == "", "the good configuration in force")


def test_a_bad_configuration_is_no_start(private_host: None, tmp_path: Path) -> None:
    file = tmp_path / "bad.conf"
    file.write_text("[libvirt]\nresync = soon\n")
    for option in (["--check-config"], ["--show-config"], []):
        command = [str(VDSM_HOOKD), f"--config={file}", *option]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 65
        assert done.stderr.startswith(f"{file}:2: [libvirt] resync = soon: must be a time")


def test_while_the_configuration_is_bad_a_start_takes_the_last_good_one(
    make_hookd: MakeHookd, test_node: str, extnet: Path
) -> None:
    hookd = make_hookd(test_node, DENY)
    assert code(extnet) == "network-not-allowed"
    hookd.stop()
    hookd.configuration.write_text("[extnet]\nalow = x\n")
    hookd.start()
    assert code(extnet) == "network-not-allowed"
    problem = f"{hookd.configuration}:2: [extnet] has no option 'alow'"
    status = hookd.ask("status")
    assert status["degraded"].startswith(f"the configuration on disk is not in force: {problem}")
    assert hookctl("status").returncode == 1
    metrics = {family["name"]: family["samples"] for family in hookd.ask("metrics")}
    assert metrics["vdsm_hookd_config_current"][0]["value"] == 0
    assert f"the one that was last in force serves in its place: {problem}" in hookd.logged()
    # A reload with what is still bad changes nothing; one with a good one ends it, and is what the next start takes.
    assert hookctl("reload").returncode == 65
    assert code(extnet) == "network-not-allowed"
    hookd.configuration.write_text("")
    assert hookctl("reload").returncode == 0
    assert (hookd.ask("status")["degraded"], code(extnet)) == ("", "")
    hookd.stop()
    hookd.configuration.write_text("no INI")
    hookd.start()
    assert code(extnet) == ""


@pytest.mark.own_process
def test_a_kept_configuration_that_is_damaged_is_no_start_and_is_named(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node)
    hookd.stop()
    KEPT.write_bytes(KEPT.read_bytes()[:-9])
    hookd.configuration.write_text("[extnet]\nalow = x\n")
    with pytest.raises(AssertionError, match="exit status 65"):
        hookd.start()
    assert f"{KEPT}: can't serve in its place: it is damaged" in hookd.logged()
    hookd.configuration.write_text("")
    hookd.start()


@pytest.mark.own_process
def test_a_daemon_that_finds_the_sockets_taken_leaves_what_is_kept_alone(
    make_hookd: MakeHookd, test_node: str, tmp_path: Path
) -> None:
    make_hookd(test_node, DENY)
    wait_for(KEPT.exists, "the kept configuration")
    before = {path.name: path.read_bytes() for path in KEPT.parent.iterdir()}
    other = tmp_path / "other.conf"
    other.write_text("[extnet]\nallow = other\n")
    command = [str(VDSM_HOOKD), f"--config={other}", f"--libvirt-uri={test_node}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "in use" in done.stderr) == (71, True)
    assert {path.name: path.read_bytes() for path in KEPT.parent.iterdir()} == before


@pytest.mark.own_process
@pytest.mark.parametrize("configuration", [DENY, "[extnet]\nalow = x\n"], ids=["good", "bad"])
def test_a_state_directory_that_can_not_be_written_stops_no_start_where_all_is_right_in_it(
    make_hookd: MakeHookd, test_node: str, extnet: Path, configuration: str
) -> None:
    hookd = make_hookd(test_node, DENY)
    wait_for(KEPT.exists, "the kept configuration")
    hookd.stop()
    hookd.configuration.write_text(configuration)
    mount("-o", "remount,ro", str(KEPT.parent))
    try:
        hookd.start()
        assert code(extnet) == "network-not-allowed"
        assert "can't be kept" not in hookd.ask("status")["degraded"]
    finally:
        mount("-o", "remount,rw", str(KEPT.parent))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, timeout=10)


def test_sockets_are_taken_from_systemd_by_their_names(private_host: None, tmp_path: Path, test_node: str) -> None:
    RUN.mkdir(exist_ok=True)
    paths = {"control": tmp_path / "c", "hook": tmp_path / "h"}
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in paths]
        for sock, path in zip(listening, paths.values()):
            sock.bind(str(path))
            sock.listen()
        # The one thing that only an exec'ing parent can do: put the sockets at 3 and 4, and name the child's own pid.
        script = (
            f"exec 3<&{listening[0].fileno()} 4<&{listening[1].fileno()}; "
            'LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=control:hook exec "$@"'
        )
        config = tmp_path / "empty.conf"
        config.write_text("")
        command = [
            "bash",
            "-c",
            script,
            "bash",
            str(VDSM_HOOKD),
            f"--config={config}",
            f"--libvirt-uri={test_node}",
        ]
        fds = [sock.fileno() for sock in listening]
        daemon = stack.enter_context(subprocess.Popen(command, pass_fds=fds, stderr=subprocess.DEVNULL))
        stack.callback(daemon.terminate)
        with connected(paths["hook"]) as client:
            client.sendall(framed([1, CREATE, "extnet", {}, b""]))
            assert answer(client)[:2] == [1, "unchanged"]
        assert hookctl("--socket", str(paths["control"])).returncode == 0
        daemon.terminate()
        assert daemon.wait(10) == 0
        assert paths["hook"].exists()  # systemd's, not ours to remove


@pytest.mark.own_process
def test_a_foreign_listen_pid_and_a_socket_without_a_listener_are_no_obstacle(
    private_host: None, tmp_path: Path, test_node: str
) -> None:
    RUN.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(HOOK_SOCKET))
    foreign = ["LISTEN_PID=1", "LISTEN_FDS=2", "LISTEN_FDNAMES=hook:control"]
    hookd = Hookd(tmp_path, test_node, environment=foreign)
    hookd.start()
    try:
        assert hookctl().returncode == 0
    finally:
        hookd.close()


def test_a_second_daemon_leaves_the_first_one_its_sockets(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node)
    command = [str(VDSM_HOOKD), f"--config={hookd.configuration}", f"--libvirt-uri={test_node}"]
    second = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 71
    assert f"can't listen on {HOOK_SOCKET}" in second.stderr
    assert hookctl().returncode == 0


@pytest.mark.parametrize(
    ("sent", "refusal"),
    [
        (struct.pack(">I", 5 * 1024 * 1024 + 1), b"too-large"),
        (struct.pack(">I", 3) + b"abc", b"bad-request"),
        (framed([2, "e", "h", {}, b""]), b"bad-request"),
        (framed([1, "e", "h", {}, b"", 1]), b"bad-request"),
        (framed([1, CREATE, "extnet", {"extnet": b"x"}, b"<a"]), b"bad-xml"),
    ],
)
def test_a_message_that_can_not_be_used_is_told_why(
    make_hookd: MakeHookd, test_node: str, sent: bytes, refusal: bytes
) -> None:
    make_hookd(test_node)
    with connected() as client:
        client.sendall(sent)
        reply = answer(client)
    assert reply[:2] == [1, "refused"]
    assert reply[2].startswith(refusal + b": ")


def test_a_control_question_that_can_not_be_used_is_told_why(make_hookd: MakeHookd, test_node: str) -> None:
    make_hookd(test_node)
    with connected(CONTROL_SOCKET) as client:
        client.sendall(framed([1, "frobnicate", {}]))
        reply = answer(client)
    assert reply[:2] == [1, False]
    assert reply[2]["code"] == "bad-request"


def test_nothing_leaks_over_many_requests(make_hookd: MakeHookd, test_node: str) -> None:
    hookd = make_hookd(test_node)
    good = framed([1, CREATE, "extnet", {"extnet": b"glitter"}, sample("interface.xml").encode()])
    bad = framed([1, CREATE, "extnet", {"extnet": b"nowhere"}, sample("interface.xml").encode()])

    def burst(count: int) -> None:
        for number in range(count):
            with connected() as client:
                client.sendall(good if number % 2 else bad)
                assert answer(client)

    burst(50)
    descriptors = set(os.listdir(f"/proc/{hookd.pid}/fd"))
    threads = [threading.Thread(target=burst, args=(250,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(os.listdir(f"/proc/{hookd.pid}/fd")) <= len(descriptors), "no descriptor more than before")
    assert len(os.listdir(f"/proc/{hookd.pid}/task")) == 3
