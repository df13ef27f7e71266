"""cpuflags and nestedvt, through the decision core: what comes out for which property and document."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stock import (
    assert_becomes,
    assert_refused,
    domain,
    run,
)
from vdsm_hookd.hooks import (
    cpuflags,
    nestedvt,
)
from vdsm_hookd.host import Host


def feature(name: str, policy: str = "require") -> str:
    return f'<feature name="{name}" policy="{policy}"/>'


@pytest.mark.parametrize(
    ("properties", "features"),
    [
        ({"cpuflags": b"+mmx,-syscall"}, [feature("mmx"), feature("syscall", "disable")]),
        ({"cpuflags": b" +mmx , +mmx "}, [feature("mmx")]),
        ({"cpuflags": b"SAP"}, [feature("invtsc"), feature("rdtscp")]),
        ({"cpuflags": b"+rdtscp,SAP,-x"}, [feature("rdtscp"), feature("invtsc"), feature("x", "disable")]),
        ({"sap_agent": b"true"}, [feature("invtsc"), feature("rdtscp")]),
        ({"cpuflags": b"-x", "sap_agent": b"true"}, [feature("x", "disable")]),
    ],
)
def test_cpuflags_asks_for_features(properties: dict[str, bytes], features: list[str]) -> None:
    made = run(cpuflags.HOOK, domain("<cpu><model/></cpu><devices/>"), properties)
    assert_becomes(made, domain(f"<cpu><model/>{''.join(features)}</cpu><devices/>"))


def test_a_feature_is_never_named_twice() -> None:
    made = run(cpuflags.HOOK, domain(f"<cpu>{feature('a')}{feature('b')}</cpu>"), {"cpuflags": b"+a,-b"})
    assert_becomes(made, domain(f"<cpu>{feature('a')}{feature('b', 'disable')}</cpu>"))
    assert run(cpuflags.HOOK, domain(f"<cpu>{feature('a')}</cpu>"), {"cpuflags": b"+a"}).outcome == "unchanged"


@pytest.mark.parametrize(
    "properties", [{"cpuflags": b""}, {"cpuflags": b" \t"}, {"cpuflags": b"", "sap_agent": b"1"}, {"sap_agent": b"no"}]
)
def test_no_flags_change_nothing(properties: dict[str, bytes]) -> None:
    assert run(cpuflags.HOOK, domain("<cpu/>"), properties).outcome == "unchanged"


@pytest.mark.parametrize(
    "value",
    [b"mmx", b"+mmx,-mmx", b"+", b"+mmx,", b",", b"sap", b"SAP,-rdtscp", b"+\xff", b"+a\x1b", b"+" + b"a" * 4096],
)
def test_bad_cpuflags(value: bytes) -> None:
    assert_refused(run(cpuflags.HOOK, domain("<cpu/>"), {"cpuflags": value}), "bad-property")


def test_the_cpu_has_to_be_there(tmp_path: Path) -> None:
    assert_refused(run(cpuflags.HOOK, domain(""), {"cpuflags": b"+mmx"}), "bad-xml")
    assert_refused(run(nestedvt.HOOK, domain(""), {}, host=_nesting(tmp_path, "kvm_amd", "1")), "bad-xml")


def _nesting(sysfs: Path, module: str, setting: str) -> Host:
    (sysfs / "module" / module / "parameters").mkdir(parents=True)
    (sysfs / "module" / module / "parameters/nested").write_text(setting)
    return Host(sysfs, sysfs)


@pytest.mark.parametrize(("module", "name"), [("kvm_intel", "vmx"), ("kvm_amd", "svm")])
def test_nestedvt_needs_no_property(tmp_path: Path, module: str, name: str) -> None:
    made = run(nestedvt.HOOK, domain("<cpu><model/></cpu>"), {}, host=_nesting(tmp_path, module, "Y\n"))
    assert_becomes(made, domain(f"<cpu><model/>{feature(name)}</cpu>"))
    again = run(nestedvt.HOOK, made.document, {}, host=Host(tmp_path))
    assert again.outcome == "unchanged"


def test_nestedvt_where_the_host_does_not_nest(tmp_path: Path) -> None:
    assert run(nestedvt.HOOK, domain(""), {}).outcome == "unchanged"
    assert run(nestedvt.HOOK, domain(""), {}, host=_nesting(tmp_path, "kvm_amd", "0")).outcome == "unchanged"
