"""The parser refuses what could hurt; the serialiser adds nothing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests import documents
from vdsm_hookd import document

UTF16 = '<?xml version="1.0" encoding="UTF-16"?><a/>'.encode("utf-16")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<a>",
        b"<a/><b/>",
        b"<a>\0</a>",
        b"<a>&nbsp;</a>",
        UTF16,
        UTF16.decode("utf-16").replace("UTF-16", "UTF-7").encode(),
        "<a>é</a>".encode("latin-1"),
        b'<?xml version="1.0" encoding="ISO-8859-1"?><a>e</a>',
        "<a/>".encode("utf-16"),
        "<a/>".encode("utf-32-be"),
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b"<a>" * 1000 + b"</a>" * 1000,
        b'<a b="1" b="2"/>',
        b"<a>" + b" " * (4 * 1024 * 1024) + b"</a>",
    ],
)
def test_refused(data: bytes) -> None:
    with pytest.raises(document.BadDocument) as caught:
        document.parse(data)
    assert str(caught.value).isprintable()


def test_entities_never_bring_in_a_file_or_grow(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    bomb = "".join(f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, 12))
    for dtd in (f'<!ENTITY e11 SYSTEM "{secret.as_uri()}">', f'<!ENTITY e0 "ha">{bomb}'):
        started = time.monotonic()
        with pytest.raises(document.BadDocument) as caught:
            document.parse(f"<!DOCTYPE a [{dtd}]><a>&e11;</a>".encode())
        assert "hunter2" not in str(caught.value)
        assert time.monotonic() - started < 1


@pytest.mark.parametrize("count", [20_000, 100_000])
def test_attributes_without_end_are_refused_before_they_cost_time(count: int) -> None:
    attributes = " ".join(f'a{number}="&gt;"' for number in range(count))
    started = time.monotonic()
    with pytest.raises(document.BadDocument, match="attributes"):
        document.parse(f"<a {attributes}/>".encode())
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("before", [0, 1, 639, 640, 20_000])
@pytest.mark.parametrize("count", [256, 257])
def test_attributes_are_counted_wherever_their_element_stands(count: int, before: int) -> None:
    empty = "".join(f' a{number}=""' for number in range(count))
    data = f"<a>{'x=1 ' * before}<b{empty}/></a>".encode()
    if count == 256:
        assert len(document.parse(data)[0].attrib) == count
    else:
        with pytest.raises(document.BadDocument, match="attributes"):
            document.parse(data)


@pytest.mark.parametrize(("count", "match"), [(256, ""), (257, "namespace declarations")])
def test_namespaces_are_counted(count: int, match: str) -> None:
    data = "<a>" + "".join(f'<b xmlns:n{number}="u"/>' for number in range(count)) + "</a>"
    if match:
        with pytest.raises(document.BadDocument, match=match):
            document.parse(data.encode())
    else:
        assert len(document.parse(data.encode())) == count


@pytest.mark.parametrize("tags", [131_072, 131_073])
def test_tags_are_counted(tags: int) -> None:
    data = f"<a>{'<b/>' * (tags - 2)}</a>".encode()
    if tags == 131_072:
        assert len(document.parse(data)) == tags - 2
    else:
        with pytest.raises(document.BadDocument, match="tags"):
            document.parse(data)


def test_a_domain_may_have_its_4_mib() -> None:
    domain = documents.read("domain.xml").decode()
    disk = domain[domain.index("    <disk snapshot") : domain.index("  </devices>")]
    more = disk * ((document.MAX_SIZE - len(domain)) // len(disk))
    document.parse(domain.replace("  </devices>", more + "  </devices>").encode())


@pytest.mark.parametrize(
    ("declaration", "is_good"),
    [
        (b'<?xml version="1.0"?>', True),
        (b"<?xml version='1.0' encoding='utf-8' standalone='yes'?>\n", True),
        (b'\xef\xbb\xbf<?xml  version = "1.1"\n encoding="UTF-8" ?>', True),
        (b'<?xml-stylesheet href="file:///etc/passwd"?>', True),
        (b'<?xml version="1.0" encoding="UTF-7"?>', False),
        (b'<?xml version="1.0" encoding="UTF-16"?>', False),
        (b'<?xml version="1.0"' + b" " * 100_000 + b'encoding="UTF-7"?>', False),
        (b'<?xml encoding="UTF-8"?>', False),
        (b' <?xml version="1.0"?>', False),
        (b"<?xml", False),
    ],
)
def test_declarations(declaration: bytes, is_good: bool) -> None:
    if is_good:
        assert document.parse(declaration + b"<a/>").tag == "a"
    else:
        with pytest.raises(document.BadDocument):
            document.parse(declaration + b"<a/>")


def attributes(count: int, equals: str = "=") -> str:
    return " ".join(f'a{number}{equals}""' for number in range(count))


COSTLY = {
    "attributes of many elements": f"<a>{f'<b {attributes(4000)}/>' * 60}</a>",
    "namespaces in scope": "".join(
        "<n " + " ".join(f'xmlns:n{level}x{number}="u"' for number in range(300)) + ">" for level in range(150)
    )
    + "<n0x0:b/>" * 100_000
    + "</n>" * 150,
    "distinct names": "<a>" + "".join(f"<b{number:x}/>" for number in range(300_000)) + "</a>",
    "a million elements": f"<a>{'<b/>' * 1_000_000}</a>",
    "attributes that an encoding hides": f'<?xml version="1.0" encoding="UTF-7"?><a {attributes(40_000, "+AD0-")}/>',
    "declared attributes": "<!DOCTYPE a [<!ATTLIST a "
    + " ".join(f"b{number} CDATA #IMPLIED" for number in range(10_000))
    + ">]><a/>",
    "entities": "<!DOCTYPE a [" + "".join(f"<!ENTITY e{number} 'x'>" for number in range(150_000)) + "]><a/>",
}


ADMITTED = {
    "attributes": "<a>" + f"<b {attributes(256)}/>" * 1500 + "</a>",
    "namespaces in scope": "<n "
    + " ".join(f'xmlns:n{number}="u"' for number in range(256))
    + ">"
    + "<n0:b/>" * 131_000
    + "</n>",
    "distinct names": "<a>" + "".join(f"<b{number:x}/>" for number in range(131_000)) + "</a>",
}


@pytest.mark.parametrize("kind", ADMITTED)
def test_the_most_that_is_admitted_does_not_take_long(kind: str) -> None:
    data = ADMITTED[kind].encode()
    assert len(data) <= document.MAX_SIZE
    started = time.monotonic()
    document.parse(data)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("kind", COSTLY)
def test_what_the_parser_takes_long_for_is_refused_before(kind: str) -> None:
    """For minutes, some of it, in the daemon's only thread: libxml2 compares each with each."""
    data = COSTLY[kind].encode()
    assert len(data) <= document.MAX_SIZE
    started = time.monotonic()
    with pytest.raises(document.BadDocument):
        document.parse(data)
    assert time.monotonic() - started < 1


def test_a_long_text_is_looked_at_once() -> None:
    started = time.monotonic()
    document.parse(b"<a>" + b"=" * 4000 + b"x" * ((4 << 20) - 4096) + b"</a>")
    assert time.monotonic() - started < 1


def test_a_memory_gives_a_tree_away_once_and_only_for_its_own_text() -> None:
    memory = document.Memory()
    first = memory.parse(b"<a/>")
    first.set("b", "1")
    text = memory.serialise(first)
    memory.release()  # only what is of no more use
    assert memory.parse(text) is first
    first.set("b", "2")  # whoever has it may change it, so nobody gets it again
    assert memory.parse(text).get("b") == "1"
    memory.serialise(first)
    assert memory.parse(b"<c/>").tag == "c"
    large = memory.parse(b"<a>" + b"x" * (256 * 1024) + b"</a>")
    assert memory.parse(memory.serialise(large)) is not large


@pytest.mark.parametrize(
    "data",
    [
        b"<a/>",
        b"<!-- before --><a/><!-- after --><?target data?>",
        b'<a xmlns:x="urn:x" x:b="1"><x:c/>text<![CDATA[<&>]]></a>',
        '<a b="é">\U0001f600</a>'.encode(),
    ],
)
def test_what_is_parsed_is_written_as_it_was(data: bytes) -> None:
    written = document.serialise(document.parse(b'<?xml version="1.0" encoding="utf-8"?>' + data))
    assert written.replace(b"\n", b"") == data
