"""A bare Debian with systemd, libvirt and rpm in a folder: made once from this machine's package sources, and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tests.real.host import run

_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "boot"
_MAKE_TIMEOUT = 900.0
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "polkitd", "rpm", "dnf", "iproute2", "iptables", "procps"),
    *("python3", "python3-lxml", "python3-libvirt", "python3-systemd", "python3-msgpack"),
    *("libvirt-daemon", "libvirt-daemon-system", "libvirt-daemon-driver-qemu", "libvirt-daemon-config-nwfilter"),
    *("libvirt-clients", "qemu-system-x86", "openvswitch-switch"),
    # For tests/real, which runs in there.
    *("python3-pytest", "python3-pytest-timeout", "python3-prometheus-client"),
)
_OPTIONS = (
    "--mode=root",
    "--variant=minbase",
    # Half of the folder, and nobody reads it.
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)
_VDSM = "useradd --uid 36 --gid kvm --no-create-home --shell /usr/sbin/nologin vdsm"


def base() -> Path:
    """The folder; made where none fits this machine's release and the packages above. Nobody may write into it."""
    release = debian_release()
    recipe = "\n".join((release, *_PACKAGES, *_OPTIONS, _VDSM))
    folder = _CACHE / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if not folder.exists():
        _make(release, folder)
    return folder


def debian_release() -> str:
    """This machine's, by name; nothing where it is no Debian."""
    system, _, release = run("sh", "-c", '. /etc/os-release; echo "$ID:${VERSION_CODENAME-}"').strip().partition(":")
    return release if system == "debian" else ""


def _make(release: str, folder: Path) -> None:
    new = folder.with_suffix(f".{os.getpid()}")
    new.parent.mkdir(parents=True, exist_ok=True)
    # The machine's own sources and mirrors, as apt knows them.
    line = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    sources = run("apt-get", "indextargets", "--format", line, "Identifier: Packages", "Origin: Debian")
    hook = f'--customize-hook=chroot "$1" {_VDSM}'
    command = ["mmdebstrap", *_OPTIONS, hook, f"--include={','.join(_PACKAGES)}", release, str(new), "-"]
    done = subprocess.run(
        command,
        input="\n".join(sorted(set(sources.splitlines()))),
        capture_output=True,
        text=True,
        timeout=_MAKE_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, f"no image could be made: {done.stderr[-4000:]}"
    for old in folder.parent.glob("[0-9a-f]*"):
        if old != new:
            shutil.rmtree(old)
    new.rename(folder)
