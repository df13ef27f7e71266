"""Peers that speak to the daemon's sockets by themselves, where the shim would be too well-behaved."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import msgpack

from tests.real.hookd import HOOK_SOCKET


def connected(path: Path = HOOK_SOCKET) -> socket.socket:
    """A connection; its calls fail after 10 s."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(10)
    client.connect(str(path))
    return client


def framed(message: Any) -> bytes:
    """A message as it goes over the wire."""
    payload: bytes = msgpack.packb(message, use_bin_type=True)
    return struct.pack(">I", len(payload)) + payload


def answer(client: socket.socket) -> Any:
    """The daemon's message; None where it hung up without one."""
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return msgpack.unpackb(received[4:], raw=False) if received else None
