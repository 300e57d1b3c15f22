"""Adds keywords to XMP side-cars, removes them again, keeps every other byte. Pure.

Photo managers keep a picture's keywords in dc:subject, a flat list, and in lr:hierarchicalSubject, whose values are
paths such as animals|cat. Added keywords are also recorded in the side-car itself, in AraCLIP's namespace, so that
`without_keywords` can remove exactly these, wherever the file was moved to. Text is inserted into the file's bytes,
since writing a parsed tree again would lose comments, prefixes and line breaks.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

from araclip.errors import InputError
from araclip.pictures.metadata import RDF, xml_parser, xmp_properties

SUBJECT, HIERARCHY = (
    "http://purl.org/dc/elements/1.1/ subject",
    "http://ns.adobe.com/lightroom/1.0/ hierarchicalSubject",
)
RECORD = "urn:araclip:keywords:"
# property that holds keywords → AraCLIP's own property, which lists those of the keywords that AraCLIP added
RECORDS = {SUBJECT: f"{RECORD} subject", HIERARCHY: f"{RECORD} hierarchicalSubject"}
_PREFIXES = {"http://purl.org/dc/elements/1.1/": "dc", "http://ns.adobe.com/lightroom/1.0/": "lr", RECORD: "araclip"}
_EMPTY = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="AraCLIP">
 <rdf:RDF xmlns:rdf="{RDF.strip()}">
  <rdf:Description rdf:about="">
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
""".encode()
# Comments that `with_keywords` leaves in an element that it fills, so that `without_keywords` can restore it: a list
# that had no members, and an element without an end tag (<rdf:Bag/>).
_WAS_EMPTY, _WAS_CLOSED = b"<!--AraCLIP: empty-->", b"<!--AraCLIP: /-->"
_CLOSED_BEFORE = re.compile(rb">%b</[^<>]*>" % _WAS_CLOSED)
_START_TAG = re.compile(rb"<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>")
_PREFIX = re.compile(rb"<([^\s:/>]+:)?")


@dataclass
class _Element:
    """An XML element and its positions in the file: its start tag is data[start:inner], its end tag data[outer:end]."""

    tag: str
    start: int
    inner: int
    outer: int
    end: int
    text: str = ""
    inside: list["_Element"] = field(default_factory=list)


def keywords_of(data: bytes, name: str) -> Mapping[str, list[str]]:
    """Return the keywords in a side-car, as a mapping from property to values.

    The properties are SUBJECT (flat keywords), HIERARCHY (paths), and AraCLIP's two properties in RECORDS, which list
    the keywords and the paths that AraCLIP added.

    Raises:
        InputError: the side-car is no XMP, is too large, or has keywords in a form that is not a list; the message
            begins with `name`.
    """
    found = _find_descriptions(data, name)
    return {
        tag: [item.text for item in listed.inside] if (listed := _find_list(found, tag, name)) else []
        for pair in RECORDS.items()
        for tag in pair
    }


def with_keywords(data: bytes | None, added: Mapping[str, list[str]], name: str) -> bytes:
    """Add keywords to a side-car, except keywords that it already has; return its new bytes.

    Args:
        data: the side-car's bytes; None makes a new side-car.
        added: the keywords to add, as a mapping from property (SUBJECT or HIERARCHY) to values.
        name: the text with which error messages begin.

    Raises:
        InputError: as for `keywords_of`, or the layout or the encoding (not UTF-8) of the side-car is not known here.
    """
    new = _EMPTY if data is None else data
    expected = {tag: list(values) for tag, values in keywords_of(new, name).items()}
    for tag, values in added.items():
        missing = [value for value in dict.fromkeys(values) if value not in expected[tag]]
        for each in (tag, RECORDS[tag]) if missing else ():
            new = _append_values(new, each, missing, name)
            expected[each] += missing
    if keywords_of(new, name) != expected:
        raise InputError(
            f"{name}: XMP whose layout or encoding is not known here. Save it again with your photo manager."
        )
    return new


def without_keywords(data: bytes, name: str) -> bytes | None:
    """Remove what `with_keywords` added to a picture's side-car; return the side-car's new bytes.

    These are the bytes that the side-car had before, unless another program has changed it since. Return None if the
    side-car held nothing else.

    Raises:
        InputError: as for `keywords_of`.
    """
    found = _find_descriptions(data, name)
    cuts: list[_Element] = []
    for tag, record in RECORDS.items():
        listed, recorded = _find_list(found, tag, name), _find_list(found, record, name)
        if recorded is None:
            continue
        ours = {item.text for item in recorded.inside}
        items = [item for item in listed.inside if item.text in ours] if listed else []
        emptied = listed and items == listed.inside and not data.startswith((_WAS_EMPTY, _WAS_CLOSED), listed.inner)
        cuts += filter(None, [_find_property(found, record), _find_property(found, tag) if emptied else None])
        cuts += [] if emptied else items
    kept, end = list[bytes](), 0
    for each in sorted(cuts, key=lambda each: each.start):
        kept.append(data[end : each.start].rstrip())
        end = each.end
    new = _CLOSED_BEFORE.sub(b"/>", b"".join([*kept, data[end:]])).replace(_WAS_EMPTY, b"").replace(_WAS_CLOSED, b"")
    return None if new == _EMPTY else new


def _append_values(data: bytes, tag: str, values: list[str], name: str) -> bytes:
    """Insert values at the end of a property's list; without such a list, insert the property with a new list."""
    found = _find_descriptions(data, name)
    listed = _find_list(found, tag, name)
    at = listed or found[0]
    if at.inner == at.end:  # an element without content: <rdf:Bag/> or <rdf:Description … />
        end_tag = b"</" + _name_prefix(data, at) + at.tag.rpartition(" ")[2].encode() + b">"
        opened = b">" + _WAS_CLOSED + end_tag
        return _append_values(data[: at.inner - 2] + opened + data[at.end :], tag, values, name)
    left = next((mark for mark in (_WAS_EMPTY, _WAS_CLOSED) if data.startswith(mark, at.inner)), b"")
    if listed and not listed.inside and not left:
        return _append_values(data[: at.inner] + _WAS_EMPTY + data[at.inner :], tag, values, name)
    place = at.inside[-1].end if at.inside else at.inner + len(left)
    neighbour = at.inside[0] if at.inside else at  # new items are indented as this element
    before = data[: neighbour.start]
    indent = b"\n" + before[len(before.rstrip(b" \t")) :] + (b"" if at.inside else b" ")
    rdf = _name_prefix(data, found[0])
    items = b"".join(indent + b"<%bli>%b</%bli>" % (rdf, escape(value).encode(), rdf) for value in values)
    if listed is None:
        space, _, local = tag.rpartition(" ")
        ours = f"{_PREFIXES[space]}:{local}".encode()
        items = items.replace(indent, indent + b"  ")
        opening = b'<%b xmlns:%b="%b">' % (ours, ours.partition(b":")[0], space.encode())
        items = b"%b%b%b <%bBag>%b%b </%bBag>%b</%b>" % (indent, opening, indent, rdf, items, indent, rdf, indent, ours)
    return data[:place] + items + data[place:]


def _name_prefix(data: bytes, element: _Element) -> bytes:
    """Return the namespace prefix of an element's name as the file writes it, such as "rdf:"."""
    found = _PREFIX.match(data, element.start)
    return (found and found[1]) or b""


def _find_property(descriptions: list[_Element], tag: str) -> _Element | None:
    return next((each for description in descriptions for each in description.inside if each.tag == tag), None)


def _find_list(descriptions: list[_Element], tag: str, name: str) -> _Element | None:
    """Return the element (rdf:Bag or rdf:Seq) that lists a property's values; None if there is no such property.

    Raises:
        InputError: the values are no list.
    """
    held = _find_property(descriptions, tag)
    if held is None:
        return None
    if len(held.inside) != 1 or held.inside[0].tag not in (f"{RDF}Bag", f"{RDF}Seq"):
        raise InputError(f"{name}: XMP whose keywords are no list. Save it again with your photo manager.")
    return held.inside[0]


def _find_descriptions(data: bytes, name: str) -> list[_Element]:
    """Return the rdf:Description elements of the picture. Older programs write an element for each namespace."""
    xmp_properties(data, name)  # refuses what is no XMP, too large, too deep, or defines entities
    waiting: list[_Element] = [_parse_tree(data)]
    found: list[_Element] = []
    for element in waiting:  # the list grows meanwhile
        if element.tag == f"{RDF}RDF":
            found = [each for each in element.inside if each.tag == f"{RDF}Description"]
        if found:
            break
        waiting += element.inside
    if not found:
        raise InputError(f"{name}: XMP without a description of a picture. Save it again with your photo manager.")
    return found


def _parse_tree(data: bytes) -> _Element:
    """Parse XML; return the tree of its elements with their positions in `data`.

    The element that is returned has no tag; the root of the XML is inside it.
    """
    whole = _Element("", 0, 0, len(data), len(data))
    opened = [whole]
    texts: list[str] = []  # the parts of the text since the last tag; a file may hold a million of them

    def start(tag: str, attributes: dict[str, str]) -> None:
        place = parser.CurrentByteIndex
        tag_of = _START_TAG.match(data, place)
        element = _Element(tag, place, tag_of.end() if tag_of else place, 0, 0)
        opened[-1].inside.append(element)
        element.inside += [_Element(each, place, place, place, place) for each in attributes if each in RECORDS]
        opened.append(element)
        texts.clear()

    def end(tag: str) -> None:
        element = opened.pop()
        element.text = "".join(texts)
        texts.clear()
        empty = data[element.inner - 2 : element.inner] == b"/>"
        element.outer = element.inner if empty else parser.CurrentByteIndex
        element.end = element.inner if empty else data.find(b">", element.outer) + 1

    parser = xml_parser(start, end)
    parser.CharacterDataHandler = texts.append
    parser.Parse(data.rstrip(b"\0 \r\n\t"), True)
    return whole
