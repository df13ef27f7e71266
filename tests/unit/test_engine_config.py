"""What `engine-config -g` prints is kept byte for byte, and added to so that the Engine reads it as it is meant."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsm_hookd import engine_config, hooks, registry
from vdsm_hookd.engine_config import DEVICE_KEY, VM_KEY, Declared, NotUnderstood, Setting
from vdsm_hookd.hook import Hook
from vdsm_hookd.ini import DEFAULT, Entry
from vdsm_hookd.policy import Rule

GROUPS_DEFAULT = (
    "{type=interface;prop={SecurityGroups=^(?:(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}, *)*"
    "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|)$}}"
)
EXTNET = "^[^/]+(/[^/]+)?$"
WANTED = Declared({"macspoof": "^(true|false)$"}, {"extnet": EXTNET}, [])
NAMES = st.from_regex(r"[A-Za-z0-9_]{1,6}", fullmatch=True) | st.sampled_from(["extnet", "macspoof"])
# Any printable character but `;`, and often those that the syntax is made of.
EXPRESSIONS = st.text(
    st.sampled_from("{}=^$'\"\\ v:") | st.characters(blacklist_categories=["C", "Z"], blacklist_characters=";"),
    max_size=12,
).filter(lambda text: "{type=" not in text)
PROPERTIES = st.dictionaries(NAMES, EXPRESSIONS, max_size=4)
TYPES = ("disk", "interface", "video", "hostdev")


def as_text(properties: dict[str, str], trailing: bool = False) -> str:
    text = ";".join(f"{name}={regex}" for name, regex in properties.items())
    return f"{text};" if trailing and text else text


@st.composite
def device_values(draw: st.DrawFn) -> tuple[str, dict[str, dict[str, str]]]:
    """A value of CustomDeviceProperties as the Engine accepts it, and what is in it."""
    kinds = draw(st.sets(st.sampled_from(TYPES)))
    groups = {kind: draw(PROPERTIES) for kind in TYPES if kind in kinds}
    texts = [f"{{type={kind};prop={{{as_text(each, draw(st.booleans()))}}}}}" for kind, each in groups.items()]
    trailing = draw(st.booleans())
    return ";".join(texts) + (";" if texts and trailing else ""), groups


def engine_reads(value: str) -> dict[str, dict[str, str]]:
    """The properties by type as the Engine's own expression finds them: from left to right, as much as fits."""
    one = r"[a-z_A-Z0-9]+=[^;]*"
    group = re.compile(rf"\{{type=(disk|interface|video|hostdev);prop=\{{((?:{one}(?:;{one})*;?)?)\}}\}};?")
    return {
        found[1]: dict(each.split("=", 1) for each in found[2].split(";") if each) for found in group.finditer(value)
    }


@given(device_values())
def test_device_properties_keep_all_and_gain_what_is_wanted(given_value: tuple[str, dict[str, dict[str, str]]]) -> None:
    value, groups = given_value
    (setting,) = engine_config.read(f"{DEVICE_KEY}: {value} version: 4.7\n")
    assert setting == Setting(DEVICE_KEY, "4.7", value)
    assert engine_config.properties_of(setting) == groups
    change = engine_config.merge(setting, WANTED)
    own = groups.get("interface", {})
    assert engine_reads(change.after) == {**groups, "interface": {"extnet": EXTNET, **own}}
    # The Engine takes types in its own order only.
    assert list(engine_reads(change.after)) == [kind for kind in TYPES if kind in {*groups, "interface"}]
    assert (change.after == value) is ("extnet" in own)
    if change.added:
        at = next(at for at, (old, new) in enumerate(zip(f"{value}\0", change.after)) if old != new)
        assert change.after.endswith(value[at:])


@given(PROPERTIES, st.booleans())
def test_vm_properties_keep_all_and_gain_what_is_wanted(properties: dict[str, str], trailing: bool) -> None:
    value = as_text(properties, trailing)
    (setting,) = engine_config.read(f"{VM_KEY}: {value} version: 4.2")
    change = engine_config.merge(setting, WANTED)
    assert change.after.startswith(value)
    assert engine_config.properties_of(setting._replace(value=change.after)) == {
        "vm": {**{"macspoof": "^(true|false)$"}, **properties}
    }
    assert (change.command == "") is ("macspoof" in properties)


@given(device_values())
def test_the_command_survives_the_shell(given_value: tuple[str, dict[str, dict[str, str]]]) -> None:
    change = engine_config.merge(Setting(DEVICE_KEY, "4.7", given_value[0]), WANTED)
    if change.added:
        expected = ["engine-config", "-s", f"{DEVICE_KEY}={change.after}", "--cver=4.7"]
        assert shlex.split(change.command) == expected


@given(device_values(), PROPERTIES)
def test_a_second_run_finds_nothing_to_do(
    given_value: tuple[str, dict[str, dict[str, str]]], properties: dict[str, str]
) -> None:
    for setting in (Setting(DEVICE_KEY, "4.7", given_value[0]), Setting(VM_KEY, "4.7", as_text(properties))):
        after = setting._replace(value=engine_config.merge(setting, WANTED).after)
        assert engine_config.merge(after, WANTED)[1:3] == (after.value, {})


@pytest.mark.parametrize(
    ("value", "after"),
    [
        ("", f"{{type=interface;prop={{extnet={EXTNET}}}}}"),
        ("{type=interface;prop={}}", f"{{type=interface;prop={{extnet={EXTNET}}}}}"),
        (GROUPS_DEFAULT, f"{GROUPS_DEFAULT[:-2]};extnet={EXTNET}}}}}"),
        ("{type=disk;prop={a=b}};", f"{{type=disk;prop={{a=b}}}};{{type=interface;prop={{extnet={EXTNET}}}}};"),
        ("{type=video;prop={a=b}}", f"{{type=interface;prop={{extnet={EXTNET}}}}};{{type=video;prop={{a=b}}}}"),
        ("{type=interface;prop={extnet=^x$}}", "{type=interface;prop={extnet=^x$}}"),
        ("{type=interface;prop={a=x{2}}};", f"{{type=interface;prop={{a=x{{2}};extnet={EXTNET}}}}};"),
    ],
)
def test_where_a_property_goes(value: str, after: str) -> None:
    assert engine_config.merge(Setting(DEVICE_KEY, "4.7", value), WANTED).after == after


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Error fetching CustomDeviceProperties value: no such entry.",
        "CustomDeviceProperties: {type=interface;prop={a=b}}",
        "CustomDeviceProperties: {type=interface;prop={a=b}} version: general",
        "CustomDeviceProperties: {type=interface;prop={a=b} version: 4.7",
        "CustomDeviceProperties: {type=interface;prop={a}} version: 4.7",
        "CustomDeviceProperties: {type=interface;prop={a-b=c}} version: 4.7",
        "CustomDeviceProperties: {type=interface;prop={a=b;a=c}} version: 4.7",
        "CustomDeviceProperties: {type=disk;prop={a=b}}{type=interface;prop={a=b}} version: 4.7",
        "CustomDeviceProperties: {type=disk;prop={a=b}};{type=disk;prop={a=b}} version: 4.7",
        "CustomDeviceProperties: {type=disk;prop={a=b}};;{type=video;prop={}} version: 4.7",
        "CustomDeviceProperties: a=b version: 4.7",
        "UserDefinedVMProperties: a version: 4.7",
        "UserDefinedVMProperties: ;a=b version: 4.7",
        "UserDefinedVMProperties: a=b;;c=d version: 4.7",
        "UserDefinedVMProperties: a=b;a=b version: 4.7",
        "UserDefinedVMProperties : a=b version: 4.7",
        "UserDefinedVMProperties: a=\x1b[0m version: 4.7",
        "UserDefinedVMProperties: a=b version: 4.7\nUserDefinedVMProperties:  version: 4.7",
        "UserDefinedVMProperties:  version: 4.7\ncut off",
    ],
)
def test_what_is_not_understood_is_refused(line: str) -> None:
    with pytest.raises(NotUnderstood):
        engine_config.read(line)


def test_what_a_person_has_to_know_is_said() -> None:
    wanted = Declared({"macspoof": "a", "sap_agent": "b"}, {"extnet": EXTNET}, [("rewrite x (f:3)", "odd")])
    value = "{type=disk;prop={extnet=x}};{type=interface;prop={extnet=mine;macspoof=y}}"
    settings = engine_config.read(f"{DEVICE_KEY}: {value} version: 4.7\n")
    notes = engine_config.notes(settings, wanted)
    assert [note for note in notes if "mine" in note and EXTNET in note]
    assert [note for note in notes if note.startswith("macspoof not looked at") and VM_KEY in note]
    assert [note for note in notes if note.startswith("sap_agent") and "PredefinedVMProperties" in note]
    assert [note for note in notes if "odd" in note and "rewrite x (f:3)" in note]
    assert [note for note in notes if "type disk" in note]
    assert [note for note in notes if "macspoof is a vNIC's property too" in note]
    (vm,) = engine_config.read(f"{VM_KEY}: extnet=x version: 4.7")
    assert [note for note in engine_config.notes([vm], wanted) if "wins over every vNIC profile" in note]
    assert "sap_agent" not in engine_config.merge(vm, wanted).added


def test_rules_of_one_property_agree_on_the_first() -> None:
    def rule(source: str, **declared: dict[str, str]) -> Rule:
        return Rule(Hook("site", ("p", "q", "r"), {}, **declared), None, source)  # type: ignore[arg-type]

    found = engine_config.declared(
        [rule("one", vm_properties={"p": "1"}), rule("two", vm_properties={"p": "2", "q": "3"})]
    )
    assert found == Declared({"p": "1", "q": "3"}, {}, [("one", "r")])


# What the hooks' own pages show, and what their properties must not be.
EXAMPLES = {
    "extnet": (["glitter", "ovs-net/lab-42"], ["", "a/", "/b", "a/b/c"]),
    "macspoof": (["true", "false"], ["", "yes"]),
    "ifacemacspoof": (["true"], ["1x"]),
    "qemu_cmdline": (['["-cdrom", "/path/to.iso"]'], ["-cdrom"]),
    "macbind": (["{'00:1a:4a:60:d1:9a': 'br0'}"], ["br0"]),
    "smbios": (["{'serial': '1234'}^{'vendor': 'oVirt'}"], ["serial"]),
    "spiceoptions": (["{'image': {'compression': 'lz'}}"], ["lz"]),
    "cpuflags": (["+mmx,-syscall,SAP", "SAP"], ["mmx", "+a,"]),
    "sap_agent": (["true"], ["maybe"]),
    "diskunmap": (["on", "off"], ["1"]),
    "log_console": (["on"], ["true"]),
    "log_firmware": (["off"], [""]),
    "httpsisoboot": (["https://server/path/to/disk.iso"], ["http://server/x"]),
    "boot_hostdev": (["pci_0000_0b_00_0", "scsi_2_0_0_0", "usb_usb7", "usb_1_1_4"], ["0000:0b:00.0"]),
    "equivnets": (["red green  blue"], [" ", "a "]),
}
BUILT_IN = registry.find(Entry("hooks", "enabled", "", DEFAULT))


def test_every_property_of_a_built_in_hook_is_declared() -> None:
    assert hooks.__path__
    rules = [Rule(hook, None, name) for name, hook in BUILT_IN.items()]
    found = engine_config.declared(rules)
    assert found.undeclared == []
    assert {*found.vm, *found.vnic} == EXAMPLES.keys()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_declared_expression_takes_what_the_hook_takes(name: str) -> None:
    found = engine_config.declared([Rule(hook, None, "") for hook in BUILT_IN.values()])
    regex = found.vm.get(name) or found.vnic[name]
    good, bad = EXAMPLES[name]
    assert [value for value in good if not re.fullmatch(regex, value)] == []
    assert [value for value in bad if re.fullmatch(regex, value)] == []
