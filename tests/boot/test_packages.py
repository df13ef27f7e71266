"""What the packages promise to rpm and dnf, and what is in them."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.boot.machine import ROOT
from tests.boot.packages import Packages
from tests.real.host import run
from vdsm_hookd import __version__, registry
from vdsm_hookd.ini import DEFAULT, Entry

OF_VDSM = "vdsm-hook-"
HOOKS = "/usr/libexec/vdsm/hooks"


def query(packages: Packages, package: str, what: str) -> set[str]:
    """One answer of rpm's, without what rpm asks of itself."""
    lines = run("rpm", "-qp", f"--{what}", packages.files()[package]).splitlines()
    return {line.strip() for line in lines if not line.startswith(("rpmlib(", "/bin/sh", "config("))}


def test_the_service_requires_its_libraries(packages: Packages) -> None:
    required = query(packages, "vdsm-hookd", "requires")
    libraries = {"python3-libvirt", "python3-lxml", "python3-msgpack"}
    assert required == {"/usr/bin/python3", "python3 >= 3.9", *libraries}


@pytest.mark.parametrize("hook", ["extnet", "qemucmdline"])
def test_a_hook_that_still_ships_is_provided_and_conflicts(packages: Packages, hook: str) -> None:
    package = f"vdsm-hookd-{hook}"
    version = f"{__version__}-1"
    assert query(packages, package, "requires") == {"coreutils", f"vdsm-hookd = {version}"}
    assert query(packages, package, "provides") == {f"{OF_VDSM}{hook} = {version}", f"{package} = {version}"}
    assert query(packages, package, "conflicts") == {f"{OF_VDSM}{hook}"}
    assert query(packages, package, "obsoletes") == set()


def test_macspoof_obsoletes_the_one_that_vdsm_dropped(packages: Packages) -> None:
    package = "vdsm-hookd-macspoof"
    version = f"{__version__}-1"
    assert query(packages, package, "requires") == {"coreutils", f"vdsm-hookd = {version}"}
    assert query(packages, package, "provides") == {f"{OF_VDSM}macspoof = 5", f"{package} = {version}"}
    assert query(packages, package, "obsoletes") == {f"{OF_VDSM}macspoof < 5"}
    assert query(packages, package, "conflicts") == set()


def test_only_the_package_with_the_shim_is_of_one_architecture(packages: Packages) -> None:
    machine = run("uname", "-m").strip()
    for package, file in packages.files().items():
        architecture = run("rpm", "-qp", "--queryformat=%{arch}", file)
        assert architecture == (machine if package == "vdsm-hookd" else "noarch")


def test_each_hook_but_nestedvt_is_linked_at_each_event_that_it_serves(packages: Packages) -> None:
    known = registry.find(Entry("hooks", "enabled", "", DEFAULT))
    del known["nestedvt"]  # changes every VM, so nobody gets it by the way
    expected = {f"{HOOKS}/{event}/50_{name}" for name, hook in known.items() for event in hook.events}
    links = set()
    for package, file in packages.files().items():
        listed = run("rpm", "-qp", "--queryformat=[%{filenames}\t%{filelinktos}\n]", file)
        for path, _, target in (line.partition("\t") for line in listed.splitlines()):
            if target:
                links.add(path)
                assert target == "../../../vdsm-hookd/hook-shim"
                own = package.rpartition("vdsm-hookd-")[2]
                assert path.endswith(f"_{own}") or own == "hooks-extra"
    assert links == expected


def test_configuration_is_kept_and_papers_are_inside(packages: Packages) -> None:
    assert query(packages, "vdsm-hookd", "configfiles") == {
        "/etc/vdsm-hookd/vdsm-hookd.conf",
        "/etc/sos/extras.d/vdsm-hookd",
    }
    flags = run("rpm", "-qp", "--queryformat=[%{filenames} %{fileflags:fflags}\n]", packages.files()["vdsm-hookd"])
    assert "/etc/vdsm-hookd/vdsm-hookd.conf cn\n" in flags  # noreplace
    assert "/usr/share/licenses/vdsm-hookd/LICENSE l\n" in flags
    assert "/usr/share/doc/vdsm-hookd/CHANGELOG.md d\n" in flags
    assert "/usr/share/bash-completion/completions/hookctl \n" in flags
    for page in ("man1/hookctl.1", "man5/vdsm-hookd.conf.5", "man8/vdsm-hookd.8"):
        assert re.search(rf"^/usr/share/man/{page}\S* d$", flags, re.MULTILINE), page
    assert run("rpm", "-qp", "--changelog", packages.files()["vdsm-hookd"]).strip()


def test_rpmlint_finds_nothing(packages: Packages) -> None:
    reasons = ROOT / "rpm" / "vdsm-hookd.rpmlintrc"
    command = ["rpmlint", "--rpmlintrc", str(reasons), *packages.files().values(), str(packages.spec())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "0 errors, 0 warnings" in done.stdout, done.stdout
