# SPDX-License-Identifier: GPL-2.0-or-later
"""The shim under test, a VM's document, and a scripted peer in the daemon's place.

A scripted peer is right here: what is under test are the shim's own rules for peers that answer, drip, hang or die.
HOOK_SHIM names another binary to test, such as shim/hook-shim.asan.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.shim.host import Host
from tests.shim.peer import Behaviour, Peer

SHIM_DIRECTORY = pathlib.Path(__file__).resolve().parents[2] / "shim"


@pytest.fixture(scope="session")
def shim() -> Iterator[pathlib.Path]:
    """A copy of it, for the checkout may lie where the other users of these tests may not enter."""
    binary = pathlib.Path(os.environ.get("HOOK_SHIM", SHIM_DIRECTORY / "hook-shim"))
    if not binary.exists():
        subprocess.run(["make", "-s", "-C", str(SHIM_DIRECTORY)], check=True)
    with tempfile.TemporaryDirectory(prefix="hs") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        yield pathlib.Path(shutil.copy(binary, folder))


@pytest.fixture(scope="session")
def sanitized(shim: pathlib.Path) -> bool:
    return shim.name.endswith(".asan")


@pytest.fixture
def place() -> Iterator[pathlib.Path]:
    """A directory with a short name, for sun_path is short, that other users may enter."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hs"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def host(shim: pathlib.Path, place: pathlib.Path) -> Host:
    return Host(shim, place)


@pytest.fixture
def serve(host: Host) -> Iterator[Callable[..., Peer]]:
    """serve(behaviour, ...): one behaviour a connection, the last one for all that follow."""
    peers: list[Peer] = []

    def start(*behaviours: Behaviour) -> Peer:
        peers.append(Peer(host.socket, behaviours))
        return peers[-1]

    before = threading.active_count()
    yield start
    for peer in peers:
        peer.stop()
    assert threading.active_count() == before
