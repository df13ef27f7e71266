"""Booted hosts with the packages installed by rpm, scriptlets included."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Sequence

import pytest

from tests.boot import image
from tests.boot.machine import Machine
from tests.boot.makers import MakeMachine
from tests.boot.network import add_network
from tests.boot.packages import Packages


@pytest.fixture(scope="session")
def own_namespaces() -> None:
    """Mounts and processes of a test that was killed must end with it."""
    if not image.debian_release():
        pytest.skip("boots a Debian that mmdebstrap makes, so it needs one")
    assert os.getpid() == 1, "tests/boot boots machines: run it with `make test-boot`, in namespaces of its own"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(tmp_path_factory.mktemp("packages"))


@pytest.fixture
def make_machine(own_namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> MakeMachine:
    """make_machine(masked=()): a host that boots when its block begins, without these units."""
    return functools.partial(_machine, tmp_path_factory)


def _machine(tmp_path_factory: pytest.TempPathFactory, masked: Sequence[str] = ()) -> Machine:
    return Machine(image.base(), tmp_path_factory.mktemp("machine"), masked)


@pytest.fixture(scope="session")
def host(own_namespaces: None, tmp_path_factory: pytest.TempPathFactory, packages: Packages) -> Iterator[Machine]:
    """A host with libvirt, the network glitter and vdsm-hookd. It was booted after the installation."""
    with _machine(tmp_path_factory) as machine:
        add_network(machine)
        packages.install(machine)
        machine.power_off()
        machine.boot()
        yield machine


@pytest.fixture
def machine(host: Machine) -> Iterator[Machine]:
    """The host, which each test gives back as it found it."""
    yield host
    host.heal()


@pytest.fixture
def bare(make_machine: MakeMachine) -> Iterator[Machine]:
    """A host of the test's own, without vdsm-hookd."""
    with make_machine() as machine:
        yield machine
