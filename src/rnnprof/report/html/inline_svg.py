"""matplotlib's SVG made fit to stand within a page: small, safe, named, in the page's own inks."""

from __future__ import annotations

import re
import string
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from rnnprof.plain_text import one_line
from rnnprof.report.charts.kit.style import FILL, INK, MUTED, PAPER, RULE

INKS: Final = {
    PAPER: "var(--paper)", INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)",
    FILL: "var(--fill)",
}  # fmt: skip
"""The page's variable for each ink that is no data; data keep their colours in the dark."""

TAGS: Final = frozenset(
    {
        "svg", "g", "defs", "path", "use", "rect", "circle", "ellipse", "line", "polygon",
        "polyline", "text", "tspan", "clipPath", "pattern", "image",
    }
)  # fmt: skip
"""All that a chart needs; anything else, a script above all, is left out with what it holds."""

NUMBERS: Final = frozenset({"x", "y", "width", "height", "cx", "cy", "r", "rx", "ry", "points",
                            "x1", "y1", "x2", "y2"})  # fmt: skip
WORDS: Final = frozenset({"patternUnits", "clipPathUnits", "preserveAspectRatio"})
STYLED: Final = frozenset({"fill", "stroke", "opacity", "clip-path"})
"""Attributes that a style can hold as well, where they fold together."""

PAINTS: Final = ("fill", "stroke")
"""What differs from mark to mark while the rest of a style repeats."""

ROOT_STYLE: Final = "stroke-linejoin:round;stroke-linecap:butt"
"""matplotlib says so of every element of the document; here it is said of the chart alone."""

_NUMBER: Final = re.compile(r"-?\d+\.\d+")
_COMMAND: Final = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_MOVE: Final = re.compile(r"(?:translate|rotate)\([^)]*\)")
_NO_TURN: Final = re.compile(r"rotate\(0(?: [^)]*)?\)")
_LINK: Final = re.compile(r"url\(#([^)]*)\)")
_UNSAFE: Final = re.compile(r"[{}<>@\\]|url\((?!#)|expression|/\*")


def inline_svg(svg: bytes, name: str, finding: str) -> str:
    """The chart as an ``<svg>`` element of a page.

    Args:
        svg: a whole file, as matplotlib writes it with text as text.
        name: its id in the page; every other id in it begins with it.
        finding: its alternative text.

    Raises:
        xml.etree.ElementTree.ParseError: when *svg* is no XML.
    """
    # entities that grow without end take a hostile author; this is what matplotlib wrote
    source = ET.fromstring(svg)  # noqa: S314
    name = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    sheet = _Sheet(name, _new_ids(source, name))
    root = ET.Element("svg", _root_attributes(source, name))
    title = ET.SubElement(root, "title", {"id": f"{name}-title"})
    title.text = one_line(finding)
    rules = ET.SubElement(root, "style")
    root.extend([each for child in source for each in _tidied(child, sheet)])
    rules.text = sheet.finish() + _natural(source, name)
    return ET.tostring(root, encoding="unicode")


def _root_attributes(source: ET.Element, name: str) -> dict[str, str]:
    return {
        "id": name,
        "class": "chart",
        "viewBox": _rounded(source.get("viewBox", "0 0 100 100")),
        "width": "100%",
        "role": "img",
        "aria-labelledby": f"{name}-title",
    }


PX_PER_PT: Final = 4 / 3


def _natural(source: ET.Element, name: str) -> str:
    """The width at which the chart's type has the size that it was set in."""
    width_pt = float(source.get("viewBox", "0 0 100 100").split()[2])
    return f"#{name}{{--natural:{width_pt * PX_PER_PT:.0f}px;{ROOT_STYLE}}}"


# --- elements ------------------------------------------------------------------------------------


def _local(tag: object) -> str:
    """The name without its namespace."""
    return str(tag).rpartition("}")[2]


def _tidied(source: ET.Element, sheet: _Sheet) -> Iterator[ET.Element]:
    """The element without what a page has no use for; a group that says nothing is dissolved."""
    tag = _local(source.tag)
    if tag not in TAGS:
        return
    children = [each for child in source for each in _tidied(child, sheet)]
    element = ET.Element(tag, _attributes(source, sheet.ids))
    declarations = _declarations(source, sheet.ids)
    if tag in ("g", "defs") and not children:
        return
    if tag == "g" and not element.attrib and not declarations:
        yield from children
        return
    element.text = source.text if tag in ("text", "tspan") else None
    element.extend(children)
    sheet.declare(element, declarations)
    yield element


def _attributes(source: ET.Element, ids: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for full_name, value in source.attrib.items():
        name = _local(full_name)
        if name == "id" and value in ids:
            kept["id"] = ids[value]
        elif name == "href":
            kept |= _link(value, ids)
        elif name == "d":
            kept["d"] = _path(value)
        elif name == "transform" and (transform := _transform(value)):
            kept["transform"] = transform
        elif name in NUMBERS:
            kept[name] = _rounded(value)
        elif name in WORDS:
            kept[name] = value
    return kept


def _link(value: str, ids: Mapping[str, str]) -> dict[str, str]:
    """A reference within the chart, or a picture that it holds; nothing outside."""
    if value.startswith("#") and value[1:] in ids:
        return {"href": f"#{ids[value[1:]]}"}
    return {"href": "".join(value.split())} if value.startswith("data:image/") else {}


def _new_ids(source: ET.Element, name: str) -> dict[str, str]:
    """For each id that something refers to, one that no other chart of a page has."""
    used = set()
    for element in source.iter():
        for attribute, value in element.attrib.items():
            used.update(_LINK.findall(value))
            used.update([value[1:]] if _local(attribute) == "href" and value[:1] == "#" else [])
    known = [old for element in source.iter() if (old := element.get("id")) in used and old]
    return {old: f"{name}-{number}" for number, old in enumerate(known)}


# --- numbers -------------------------------------------------------------------------------------


def _rounded(text: str) -> str:
    """*text* with its numbers at two decimals, a hundredth of a point."""
    return _NUMBER.sub(lambda match: _short(match[0]), text)


def _short(number: str) -> str:
    text = f"{float(number):.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _path(data: str) -> str:
    """A path without blanks that nobody needs, its level and upright strokes as H and V."""
    pieces: list[str] = []
    here: list[str] = []
    for command, text in _COMMAND.findall(_rounded(data)):
        numbers = text.split()
        if command == "L" and len(numbers) == 2 == len(here) and numbers != here:
            pieces.append(_stroke(here, numbers))
        else:
            pieces.append(command + " ".join(numbers))
        # a stroke goes on from the last point only where that is told in full
        here = numbers[-2:] if command in "MLQC" else []
    return "".join(pieces)


def _stroke(here: list[str], there: list[str]) -> str:
    if here[1] == there[1]:
        return f"H{there[0]}"
    return f"V{there[1]}" if here[0] == there[0] else f"L{' '.join(there)}"


def _transform(value: str) -> str:
    """Shifts and turns rounded, a turn by nothing left out; a scale keeps all its digits."""
    rounded = _MOVE.sub(lambda match: _rounded(match[0]), value)
    return _NO_TURN.sub("", rounded.replace("(-0 ", "(0 ").replace("(-0)", "(0)")).strip()


# --- styles --------------------------------------------------------------------------------------


def _declarations(source: ET.Element, ids: Mapping[str, str]) -> dict[str, str]:
    """Property to value, of the style and of the attributes that are one."""
    found = {name: value for name, value in source.attrib.items() if name in STYLED}
    for declaration in source.get("style", "").split(";"):
        name, _, value = declaration.partition(":")
        found[name.strip()] = " ".join(value.split())
    return {
        name: _value(value, ids)
        for name, value in found.items()
        if name and value and not _UNSAFE.search(f"{name}:{value}")
    }


def _value(value: str, ids: Mapping[str, str]) -> str:
    if value.startswith("url("):
        return _LINK.sub(lambda match: f"url(#{ids.get(match[1], 'none')})", value)
    return INKS.get(value.lower()) or _rounded(value)


@dataclass(slots=True)
class _Sheet:
    """The styles of one chart, gathered until it is known which of them repeat.

    Attributes:
        name: of the chart; its rules hold below the element of that id alone.
        ids: new ids by the old ones.
    """

    name: str
    ids: Mapping[str, str]
    styled: list[tuple[ET.Element, dict[str, str]]] = field(default_factory=list)

    def declare(self, element: ET.Element, declarations: dict[str, str]) -> None:
        """*element* is to look so."""
        if declarations:
            self.styled.append((element, declarations))

    def finish(self) -> str:
        """Style every element, by a class where a style repeats; the classes' rules."""
        whole = Counter(text_of(declarations) for _, declarations in self.styled)
        names: dict[str, str] = {}
        for element, declarations in self.styled:
            shared: Mapping[str, str] = declarations
            own: dict[str, str] = {}
            if whole[text_of(declarations)] == 1:
                own = {name: declarations[name] for name in PAINTS if name in declarations}
                shared = {name: declarations[name] for name in declarations if name not in own}
            if shared:
                element.set("class", names.setdefault(text_of(shared), _class_name(len(names))))
            if own:
                element.set("style", text_of(own))
        return "".join(f"#{self.name} .{name}{{{text}}}" for text, name in names.items())


def text_of(declarations: Mapping[str, str]) -> str:
    """The text of a style."""
    return ";".join(f"{name}:{value}" for name, value in declarations.items())


def _class_name(number: int) -> str:
    """``a``, ``b`` .. ``z``, ``aa`` ..: of one or two letters, for there are thousands of uses."""
    letters = string.ascii_lowercase
    if number < len(letters):
        return letters[number]
    return _class_name(number // len(letters) - 1) + letters[number % len(letters)]
