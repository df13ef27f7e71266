"""A repository of packages for dnf, as a site has one, and what else it has of the distribution and of vdsm."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.boot.machine import Machine
from tests.boot.packages import Packages
from tests.real.host import run

_FOLDER = "/repository"
_REPOSITORY = f"[site]\nname=site\nbaseurl=file://{_FOLDER}\ngpgcheck=0\nmetadata_expire=0\n"
_DNF = "[main]\nassumeyes=1\ngpgcheck=0\ninstallonly_limit=3\n"

# What Debian installed and rpm does not know of, under the names that EL has for it.
_DISTRIBUTION = """Name: distribution
Version: 1
Release: 1
Summary: What is there without rpm
License: none
BuildArch: noarch
Provides: /bin/sh coreutils /usr/bin/python3 python3 = 3.9 python3-libvirt python3-lxml python3-msgpack python3-systemd
%description
%files
"""
_STOCK_HOOK = """Name: vdsm-hook-{hook}
Version: 4.50
Release: 1
Summary: As vdsm ships it
License: none
BuildArch: noarch
%description
%install
mkdir -p %{{buildroot}}/usr/libexec/vdsm/hooks/{event}
printf '#!/bin/sh\\n' > %{{buildroot}}/usr/libexec/vdsm/hooks/{event}/50_{hook}
%files
%attr(755,root,root) /usr/libexec/vdsm/hooks/{event}/50_{hook}
"""
STOCK = {"extnet": "before_device_create", "qemucmdline": "before_vm_start", "macspoof": "before_vm_start"}


class Repository:
    """In the machine's folder, with dnf told of it."""

    def __init__(self, machine: Machine, packages: Packages, scratch: Path) -> None:
        self._machine = machine
        self._packages = packages
        self._folder = machine.root / _FOLDER.lstrip("/")
        self._folder.mkdir()
        machine.write("/etc/yum.repos.d/site.repo", _REPOSITORY)
        machine.write("/etc/dnf/dnf.conf", _DNF)
        for text in (_DISTRIBUTION, *(_STOCK_HOOK.format(hook=hook, event=event) for hook, event in STOCK.items())):
            self.build(text, scratch)

    def publish(self, release: int) -> None:
        """Put the packages of this release into it."""
        for file in self._packages.files(release).values():
            shutil.copy(file, self._folder)
        run("createrepo_c", "--quiet", str(self._folder), timeout=60)
        # metadata_expire=0 has dnf look again only after a whole second.
        self._machine.run("dnf", "clean", "expire-cache")

    def build(self, text: str, scratch: Path) -> None:
        """Put the package of this spec into it."""
        spec = scratch / "a.spec"
        spec.write_text(text)
        command = ["rpmbuild", "-bb", "--quiet", f"--define=_topdir {scratch}", f"--define=_rpmdir {self._folder}"]
        subprocess.run([*command, str(spec)], check=True, capture_output=True)
