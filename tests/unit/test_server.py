"""The loop under sockets of its own; what a whole daemon makes of it is in tests/real."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from vdsm_hookd import wire
from vdsm_hookd.server import Listener, Peer, Reply, Server, bind

ANSWER = wire.frame([b"x" * (4 << 20)])
IN_THE_SOCKET = 1 << 20
"""Bytes that the kernel may hold between both, at the very most."""


def test_what_comes_afterwards_keeps_no_peer_waiting(tmp_path: Path) -> None:
    """Not even one whose answer the socket can't take at once."""
    server, path = Server(), str(tmp_path / "sock")
    received = 0
    seen: list[int] = []

    def handle(payload: wire.Payload, peer: Peer, reply: Reply) -> None:
        reply(ANSWER)

    def afterwards() -> None:
        seen.append(received)
        server.stop()

    with bind(path, 0o600) as sock:
        server.add(Listener("test", sock, lambda peer, sock: True, handle, wire.hook_refusal, afterwards))
        thread = threading.Thread(target=server.run)
        thread.start()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            client.sendall(wire.frame([]))
            while data := client.recv(1 << 16):
                received += len(data)
        thread.join()
        server.close()
    assert received == len(ANSWER)
    assert len(seen) == 1
    assert seen[0] > len(ANSWER) - IN_THE_SOCKET


def test_only_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    file, dead, folder = tmp_path / "file", tmp_path / "dead", tmp_path / "folder"
    file.write_text("precious")
    (tmp_path / "link").symlink_to(file)
    folder.mkdir()
    for path in (file, tmp_path / "link", folder):
        with pytest.raises(OSError, match="can't listen on"):
            bind(str(path), 0o600)
    assert file.read_text() == "precious"
    bind(str(dead), 0o600).close()
    with bind(str(dead), 0o600), pytest.raises(OSError, match="can't listen on"):
        bind(str(dead), 0o600)
