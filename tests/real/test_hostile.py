"""Hostile documents, properties, environments and peers, through the real shim and the real daemon."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests import faults
from tests.real.guest import sample
from tests.real.hookd import Hookd, hookctl, hookctl_json, link_hook
from tests.real.makers import MakeHookd
from tests.real.wait import wait_for
from tests.vdsm import VM_ID
from vdsm_hookd import registry
from vdsm_hookd.hook import Hook
from vdsm_hookd.ini import DEFAULT, Entry

CREATE = "before_device_create"
SECRET = "hunter2-the-local-file"
HOOKS: dict[str, Hook] = dict(registry.find(Entry("hooks", "enabled", "", DEFAULT)))
ALL_HOOKS = f"[hooks]\nenabled = {' '.join(HOOKS)}\n"
MAX_DOCUMENT = 4 * 1024 * 1024
LONGEST = 128 * 1024  # what the kernel hands to a process in one variable, with its name, `=` and the NUL


@dataclass(frozen=True)
class Done:
    """One run of one hook."""

    status: int
    stderr: bytes
    document: bytes
    litter: Sequence[str]
    seconds: float

    @property
    def line(self) -> str:
        """The only line on stderr: printable ASCII and not long."""
        assert re.fullmatch(rb"[ -~]{1,1150}\n", self.stderr), self.stderr
        return self.stderr.decode()[:-1]

    @property
    def code(self) -> str:
        return self.line.split(": ")[1]


def run_hook(hooks: Path, event: str, hook: str, document: bytes, environment: Mapping[str, bytes]) -> Done:
    """Run it as vdsm does, on any bytes."""
    folder = hooks / "documents"
    folder.mkdir(exist_ok=True)
    file = folder / "vm.xml"
    file.write_bytes(document)
    whole = {b"_hook_domxml": bytes(file), b"vmId": VM_ID.encode()}
    whole.update((os.fsencode(name), value) for name, value in environment.items())
    begin = time.monotonic()
    done = subprocess.run([hooks / event / f"50_{hook}"], env=whole, capture_output=True, timeout=30, check=False)
    seconds = time.monotonic() - begin
    assert done.stdout == b""
    litter = [path.name for path in folder.iterdir() if path != file]
    return Done(done.returncode, done.stderr, file.read_bytes(), litter, seconds)


# Documents

INTERFACE = sample("interface.xml").encode()


def inside(text: str) -> bytes:
    return f'<interface type="bridge"><source bridge="ovirtmgmt"/>{text}</interface>'.encode()


def with_dtd(subset: str, text: str = "") -> bytes:
    return f"<!DOCTYPE interface [{subset}]>".encode() + inside(text)


def attributes(count: int, name: str = "a") -> str:
    return " ".join(f'{name}{number}="1"' for number in range(count))


def levels(unit: str, per_level: int) -> str:
    return "".join(
        f'<!ENTITY e{level} "{unit * per_level}">'.replace("&e;", f"&e{level - 1};") for level in range(1, 12)
    )


BAD = "bad-xml"
# SECRET_FILE and FIFO, which nobody writes to, so that whoever opens it hangs, stand for paths.
DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "XXE": (with_dtd('<!ENTITY x SYSTEM "file://SECRET_FILE">', "&x;"), BAD),
    "XXE without a scheme": (with_dtd('<!ENTITY x SYSTEM "SECRET_FILE">', "&x;"), BAD),
    "XXE in an attribute": (with_dtd('<!ENTITY x SYSTEM "SECRET_FILE">', '<b c="&x;"/>'), BAD),
    "XXE of a FIFO": (with_dtd('<!ENTITY x SYSTEM "FIFO">', "&x;"), BAD),
    "XXE by a parameter entity": (with_dtd('<!ENTITY % x SYSTEM "SECRET_FILE"> %x;'), BAD),
    "XXE of the host": (with_dtd('<!ENTITY x SYSTEM "http://127.0.0.1:1/">', "&x;"), BAD),
    "external DTD": (b'<!DOCTYPE interface SYSTEM "file://SECRET_FILE">' + INTERFACE, BAD),
    "external DTD of a FIFO": (b'<!DOCTYPE interface SYSTEM "FIFO">' + INTERFACE, BAD),
    "public DTD": (b'<!DOCTYPE interface PUBLIC "-//x//y" "SECRET_FILE">' + INTERFACE, BAD),
    "empty DTD": (b"<!DOCTYPE interface>" + INTERFACE, BAD),
    "billion laughs": (with_dtd('<!ENTITY e0 "ha">' + levels("&e;", 10), "&e11;"), BAD),
    "billion laughs in an attribute": (with_dtd('<!ENTITY e0 "ha">' + levels("&e;", 10), '<b c="&e11;"/>'), BAD),
    "quadratic bomb": (with_dtd(f'<!ENTITY e "{"x" * 100_000}">', "&e;" * 100_000), BAD),
    "entity of itself": (with_dtd('<!ENTITY e "&e;">', "&e;"), BAD),
    "150 000 entities": (with_dtd("".join(f"<!ENTITY e{n} 'x'>" for n in range(150_000))), BAD),
    "10 000 declared attributes": (
        with_dtd(f"<!ATTLIST b {' '.join(f'c{n} CDATA #IMPLIED' for n in range(10_000))}>"),
        BAD,
    ),
    "unknown entity": (inside("&nbsp;"), BAD),
    "UTF-7": (b'<?xml version="1.0" encoding="UTF-7"?>' + INTERFACE, BAD),
    "UTF-7 that hides a DTD": (b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a+AD4-<a/>', BAD),
    "UTF-7 that hides attributes": (
        b'<?xml version="1.0" encoding="UTF-7"?>' + inside(f"<b {attributes(40_000)}/>").replace(b"=", b"+AD0-"),
        BAD,
    ),
    "UTF-16, declared": (('<?xml version="1.0" encoding="UTF-16"?>' + INTERFACE.decode()).encode("utf-16"), BAD),
    "UTF-16 with a BOM": (INTERFACE.decode().encode("utf-16"), BAD),
    "UTF-16 little": (INTERFACE.decode().encode("utf-16-le"), BAD),
    "UTF-16 big": (INTERFACE.decode().encode("utf-16-be"), BAD),
    "UTF-16 by word only": (b'<?xml version="1.0" encoding="UTF-16"?>' + INTERFACE, BAD),
    "UTF-32": (INTERFACE.decode().encode("utf-32"), BAD),
    "EBCDIC": (INTERFACE.decode().encode("cp500"), BAD),
    "Latin-1": (inside("<b>\xe9</b>").decode().encode("latin-1"), BAD),
    "Latin-1, declared": (b'<?xml version="1.0" encoding="ISO-8859-1"?>' + INTERFACE, BAD),
    "overlong UTF-8": (inside("<b>X</b>").replace(b"X", b"\xc0\xbc"), BAD),
    "a surrogate": (inside("<b>X</b>").replace(b"X", b"\xed\xa0\x80"), BAD),
    "a noncharacter": (inside("<b>\uffff</b>"), BAD),
    "20 000 attributes": (inside(f"<b {attributes(20_000)}/>"), BAD),
    "100 000 attributes": (inside(f"<b {attributes(100_000)}/>"), BAD),
    "4 000 attributes of 80 elements each": (inside(f"<b {attributes(4000)}/>" * 80), BAD),
    "20 000 namespaces": (inside(f"<b {attributes(20_000, 'xmlns:a')}>{'<a0:c/>' * 100_000}</b>"), BAD),
    "an attribute twice": (inside('<b c="1" c="2"/>'), BAD),
    "1 000 levels": (b"<a>" * 1000 + b"</a>" * 1000, BAD),
    "500 000 levels": (b"<a>" * 500_000 + b"</a>" * 500_000, BAD),
    "a million levels, open": (b"<a>" * 1_000_000, BAD),
    "a million elements": (inside("<b/>" * 1_000_000), BAD),
    "300 000 names": (inside("".join(f"<b{n:x}/>" for n in range(300_000))), BAD),
    "a long name": (inside(f"<{'b' * 4_000_000}/>"), BAD),
    "NUL": (inside("<b>\0</b>"), BAD),
    "NUL at the end": (INTERFACE + b"\0", BAD),
    "NUL alone": (b"\0", BAD),
    "empty": (b"", BAD),
    "blank": (b" \n", BAD),
    "no XML": (b"\xff\xfe\x00<?xml", BAD),
    "half": (INTERFACE[: len(INTERFACE) // 2], BAD),
    "two": (INTERFACE + INTERFACE, BAD),
    "another root": (b"<domain/>", BAD),
    "4 MiB": (b" " * MAX_DOCUMENT, BAD),
    "4 MiB + 1": (b" " * (MAX_DOCUMENT + 1), "too-large"),
    "4 MiB + 1, good XML": (INTERFACE + b" " * (MAX_DOCUMENT + 1 - len(INTERFACE)), "too-large"),
}
# What is no more than text to a parser that fetches nothing is rewritten, and stays what it was.
INERT = {
    "XInclude": inside('<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="SECRET_FILE" parse="text"/>'),
    "XInclude of a FIFO": inside('<i:include xmlns:i="http://www.w3.org/2001/XInclude" href="FIFO"/>'),
    "style sheet": b'<?xml-stylesheet href="file://SECRET_FILE"?>' + INTERFACE,
    "catalog": b'<?oasis-xml-catalog catalog="file://FIFO"?>' + INTERFACE,
    "schema": inside('<b xmlns:x="http://www.w3.org/2001/XMLSchema-instance" x:schemaLocation="u FIFO"/>'),
    "base": inside('<b xml:base="file://SECRET_FILE"/>'),
    "4 MiB of text": inside(f"<b>{'x' * 4_000_000}</b>"),
    "a million references": inside("<b>" + "&lt;" * 1_000_000 + "</b>"),
}


@pytest.fixture
def traps(tmp_path: Path) -> dict[bytes, Path]:
    """A file whose text must turn up nowhere, and a FIFO that nobody writes to."""
    secret, fifo = tmp_path / "secret", tmp_path / "fifo"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    os.mkfifo(fifo)
    return {b"SECRET_FILE": secret, b"FIFO": fifo}


def armed(document: bytes, traps: Mapping[bytes, Path]) -> bytes:
    for word, path in traps.items():
        document = document.replace(word, bytes(path))
    return document


def assert_nothing_echoed(hookd: Hookd) -> None:
    shown = [hookd.logged(), *(hookctl(*verb).stdout for verb in (["history", "--json"], ["metrics"], ["--json"]))]
    last = hookd.ask("history", last=1)["last"]
    shown += [hookctl("replay", str(number), "--json").stdout for number in range(1, last + 1)]
    assert not [text for text in shown if SECRET in text]


def test_hostile_documents_are_refused_each_with_its_code(
    make_hookd: MakeHookd, test_node: str, extnet: Path, traps: dict[bytes, Path]
) -> None:
    hookd = make_hookd(test_node)
    for kind, (document, code) in DOCUMENTS.items():
        document = armed(document, traps)
        done = run_hook(extnet, CREATE, "extnet", document, {"extnet": b"glitter"})
        assert (done.status, done.code) == (2, code), (kind, done.stderr)
        assert SECRET not in done.line, kind
        assert done.seconds < 1, kind
        assert (done.document == document, done.litter) == (True, []), kind
    assert_nothing_echoed(hookd)
    faults.held("hostile-xml", len(DOCUMENTS), "refused with its code, < 1 s, nothing of a file echoed")


def test_references_to_files_are_no_more_than_text(
    make_hookd: MakeHookd, test_node: str, extnet: Path, traps: dict[bytes, Path]
) -> None:
    hookd = make_hookd(test_node)
    for kind, document in INERT.items():
        document = armed(document, traps)
        done = run_hook(extnet, CREATE, "extnet", document, {"extnet": b"glitter"})
        assert (done.status, done.stderr) == (0, b""), kind
        assert done.seconds < 1, kind
        before, after = etree.fromstring(document), etree.fromstring(done.document)
        for root in (before, after):
            root.set("type", "network")
            source = root.find("source")
            assert source is not None
            source.attrib.clear()
        assert etree.tostring(before, method="c14n") == etree.tostring(after, method="c14n"), kind
        assert b'network="glitter"' in done.document, kind
    assert_nothing_echoed(hookd)
    faults.held("hostile-xml", len(INERT), "text that stays text, < 1 s, nothing of a file echoed")


# Properties

DOMAIN = sample("domain.xml").encode()
VALUES = {
    "newlines": b"a\nb\r\nc\x0b\x0c\x85d",
    "a log line": b"x\nvdsm-hookd: before_vm_start: rewritten by extnet (VM forged)",
    "journal fields": b"x\nPRIORITY=0\nMESSAGE=forged\nOUTCOME=forged\nCODE=forged",
    "a journal field in binary": b"x\nMESSAGE\n\x06\x00\x00\x00\x00\x00\x00\x00forged\n",
    "ANSI": b"\x1b[31mred\x1b[0m\x1b]0;title\x07\x9b2J",
    "quotes": b"'\"`\\'\\\"",
    "XML": b'\'/><evil/><source network="wifi-nat"/><!--]]>&lt;<![CDATA[',
    "an XML attribute": b'glitter" bridge="ovirtmgmt',
    "braces": b"{}{0}{x.__class__}%s%n%(x)s${x}$(x)",
    "JSON": b'["-S","\\u0000"],"forged":{"x":1}',
    "a JSON list": b'["-device", "\\"\\n\\u001b<evil/>"]',
    "a Python literal": b"{'a': '<evil/>\\n\"', 'b\\x1b': 'c'}",
    "nested Python": b"{'56:6f:1a:2b:00:04': '<evil/>\\n'}",
    "labels": b'x"} 1\nforged_metric{a="b"} 1\n# EOF',
    "not UTF-8": b"\xff\xfe\xc0\xaf\xed\xa0\x80",
    "bidirectional": "\u202eevil\u2066\u2028\u2029\ufeff".encode(),
    "blank": b" \t ",
    "empty": b"",
    "a path": b"../../../etc/passwd",
    "a long name": b"a" * 300,
}
CODES = ("bad-property", "network-missing", "option-not-allowed", "bad-xml")
LONG_UNITS = (b"a", b"\n", b"\xff", b"'", b"<", b"{", b"[", b"\x1b[", b"{'a':'", b'["a",')


def cases() -> Iterator[tuple[str, str, str]]:
    """Every property of every hook, at every event that it serves."""
    for hook in HOOKS.values():
        for event in hook.events:
            for name in hook.properties:
                yield hook.name, event, name


def assert_sound(done: Done, document: bytes, where: object) -> None:
    """Refused in one escaped line, or a document that is what it was but for what the hook is for."""
    if done.status == 2:
        assert done.code in CODES, where
        assert (done.document, done.litter) == (document, []), where
        return
    assert (done.status, done.stderr, done.litter) == (0, b"", []), where
    before, after = etree.fromstring(document), etree.fromstring(done.document)
    assert after.tag == before.tag, where
    assert after.findtext("uuid") == before.findtext("uuid"), where
    assert not list(after.iter("evil")), where
    elements = [sum(1 for _ in root.iter("source")) for root in (before, after)]
    assert elements[0] == elements[1], where


def assert_one_line_each(before: int, hookd: Hookd, decisions: int) -> None:
    """In the log behind its first lines: each is a decision's, and printable."""
    lines = hookd.logged().splitlines()[before:]
    assert len(lines) <= decisions
    for line in lines:
        assert line.isprintable(), line
        assert re.match(r"(vdsm-hookd: )?before_\w+: (refused: \w+: [a-z-]+: |rewritten by |unchanged by )", line), line


def assert_views_are_sound(hookd: Hookd) -> None:
    """hookctl for people, for scripts and for Prometheus."""
    for verb in ("history", "status"):
        shown = hookctl(verb).stdout
        assert all(line.isprintable() for line in shown.splitlines()), verb
        assert "\x1b" not in shown
    for record in hookctl_json("history", "-n", "500"):
        assert record["outcome"] in ("unchanged", "rewritten", "refused")
        assert record["code"] in ("", *CODES), record
    families = list(text_string_to_metric_families(hookctl("metrics").stdout))
    assert families
    labels = {value for family in families for each in family.samples for value in each.labels.values()}
    assert not [label for label in labels if re.search(r"forged|evil|[^ -~]", label)]
    assert not [family.name for family in families if not family.name.startswith("vdsm_hookd_")]
    json.dumps(hookd.ask("history"), default=repr)


@pytest.mark.parametrize("hook", sorted(name for name, each in HOOKS.items() if each.properties))
def test_no_property_gets_out_of_its_place(make_hookd: MakeHookd, test_node: str, hooks_dir: Path, hook: str) -> None:
    """Each property with each value, and 128 KiB of what a parser may choke on."""
    hookd = make_hookd(test_node, ALL_HOOKS)
    link_hook(hooks_dir, hook, HOOKS[hook].events)
    before, decisions = len(hookd.logged().splitlines()), 0
    for name, event, prop in cases():
        if name != hook:
            continue
        document = DOMAIN if event == "before_vm_start" else INTERFACE
        room = LONGEST - len(prop) - 2
        for value in (*VALUES.values(), *((unit * room)[:room] for unit in LONG_UNITS)):
            if b"\0" in value:
                value = value.replace(b"\0", b"\x01")  # no variable can hold one
            done = run_hook(hooks_dir, event, hook, document, {prop: value})
            assert_sound(done, document, (event, prop, value[:60]))
            decisions += 1
    wait_for(lambda: hookd.ask("history", last=0)["last"] == decisions, "all decisions")
    assert_one_line_each(before, hookd, decisions)
    assert_views_are_sound(hookd)
    faults.held("hostile-properties", decisions, "one escaped line each, no injection")


@pytest.mark.parametrize("kind", VALUES)
def test_no_vm_id_gets_out_of_its_place(make_hookd: MakeHookd, test_node: str, extnet: Path, kind: str) -> None:
    hookd = make_hookd(test_node)
    before = len(hookd.logged().splitlines())
    value = VALUES[kind].replace(b"\0", b"\x01")
    for environment in ({"extnet": b"glitter"}, {"extnet": b"nowhere"}):
        done = run_hook(extnet, CREATE, "extnet", INTERFACE, {**environment, "vmId": value})
        assert done.status == (2 if environment["extnet"] == b"nowhere" else 0)
        assert_sound(done, INTERFACE, kind)
    wait_for(lambda: hookd.ask("history", last=0)["last"] == 2, "both decisions")
    assert_one_line_each(before, hookd, 2)
    assert_views_are_sound(hookd)
    faults.held("hostile-properties", 2, "one escaped line each, no injection")
