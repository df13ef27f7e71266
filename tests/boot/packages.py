"""The packages that the boot tests install."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.boot.machine import ROOT, Machine


class Packages:
    """What `make rpm` built, by release: 1 is the last version, 2 the one that it is upgraded to."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def build(self, release: int) -> None:
        made = self._folder / str(release)
        if not made.exists():
            subprocess.run(
                ["make", "rpm", f"RELEASE={release}", f"RPMBUILD={made}"], cwd=ROOT, check=True, capture_output=True
            )

    def files(self, release: int = 1) -> dict[str, str]:
        """The packages' files by the packages' names."""
        self.build(release)
        found = (self._folder / str(release) / "RPMS").glob("*/*.rpm")
        return {path.name.rsplit("-", 2)[0]: str(path) for path in found}

    def spec(self) -> Path:
        """As it was filled in."""
        self.build(1)
        return self._folder / "1" / "SPECS" / "vdsm-hookd.spec"

    def put_into(self, machine: Machine, release: int = 1) -> dict[str, str]:
        """Copy them in there; their files by the packages' names."""
        folder = machine.root / "packages" / str(release)
        folder.mkdir(parents=True, exist_ok=True)
        return {
            name: f"/packages/{release}/{Path(shutil.copy(file, folder)).name}"
            for name, file in self.files(release).items()
        }

    def install(self, machine: Machine, release: int = 1, *options: str) -> None:
        """As dnf would, all of them; without their dependencies, which Debian names otherwise."""
        machine.run("rpm", "-U", "--nodeps", *options, *self.put_into(machine, release).values())
