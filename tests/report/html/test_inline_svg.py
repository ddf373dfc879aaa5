"""A chart within a page: small, safe, told apart from its neighbours, and the same picture."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from page_samples import a_chart_svg
from rnnprof.report.charts.kit.style import FILL, INK, MUTED, PAPER, RULE, rendered, style
from rnnprof.report.html.inline_svg import inline_svg

HOSTILE = "<script>alert(1)</script>&\"'</svg></style>--><b>"


def wrapped(body: str, box: str = "0 0 200 100") -> bytes:
    """A file as matplotlib begins and ends one."""
    return (
        '<?xml version="1.0" encoding="utf-8" standalone="no"?>\n'
        '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" '
        '"http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">\n'
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="200pt" height="100pt" '
        f'viewBox="{box}" xmlns="http://www.w3.org/2000/svg" version="1.1">\n'
        '<metadata><title xmlns="http://purl.org/dc/elements/1.1/">m</title></metadata>'
        f'<defs><style type="text/css">*{{stroke-linejoin: round}}</style></defs>{body}</svg>'
    ).encode()


def inlined(body: str) -> ET.Element:
    return ET.fromstring(inline_svg(wrapped(body), "chart", "It shows."))


def only(root: ET.Element, tag: str) -> ET.Element:
    (found,) = root.iter(tag)
    return found


def looks(root: ET.Element, element: ET.Element) -> dict[str, str]:
    """The declarations that hold for an element, of its class and of its own style."""
    rules = dict(re.findall(r"#chart \.([a-z]+)\{([^}]*)\}", only(root, "style").text or ""))
    text = f"{rules.get(element.get('class', ''), '')};{element.get('style', '')}"
    return dict(part.split(":", 1) for part in text.split(";") if part)  # type: ignore[misc]


# --- the element ---------------------------------------------------------------------------------


def test_it_is_a_named_picture_that_grows_with_the_page():
    text = inline_svg(a_chart_svg(), "frontier", "At T=32 up to B=12 fits.")
    root = ET.fromstring(text)
    assert text.startswith("<svg ")
    assert root.attrib == {
        "id": "frontier", "class": "chart", "viewBox": "0 0 360 180", "width": "100%",
        "role": "img", "aria-labelledby": "frontier-title",
    }  # fmt: skip
    title = root.find("title")
    assert title is not None
    assert (title.get("id"), title.text) == ("frontier-title", "At T=32 up to B=12 fits.")
    assert "#frontier{--natural:480px;" in (only(root, "style").text or "")


def test_prolog_metadata_and_rules_for_the_whole_page_are_gone():
    text = inline_svg(a_chart_svg(), "frontier", "It shows.")
    for gone in ("<?xml", "DOCTYPE", "metadata", "xmlns", "ns0:", "text/css", "*{"):
        assert gone not in text


def test_every_rule_holds_within_its_own_chart_alone():
    rules = only(ET.fromstring(inline_svg(a_chart_svg(), "frontier", "")), "style").text or ""
    selectors = re.findall(r"([^{}]+)\{", rules)
    assert len(selectors) > 3
    assert all(re.fullmatch(r"#frontier( \.[a-z]+)?", selector) for selector in selectors)


def test_two_charts_of_one_page_share_no_id_and_refer_to_their_own():
    texts = [inline_svg(a_chart_svg(), name, "It shows.") for name in ("one", "two")]
    ids = [set(re.findall(r'\bid="([^"]+)"', text)) for text in texts]
    assert not ids[0] & ids[1]
    for text, known, name in zip(texts, ids, ("one", "two"), strict=True):
        used = set(re.findall(r"url\(#([^)]+)\)", text)) | set(re.findall(r'href="#([^"]+)"', text))
        assert len(used) >= 3, "a clip, a marker and a hatch"
        assert used <= known
        assert all(each.startswith(name) for each in known)
        assert known == used | {name, f"{name}-title"}, "an id that nothing refers to is left out"


def test_a_name_that_is_no_id_becomes_one():
    root = ET.fromstring(inline_svg(wrapped("<path d='M 0 0'/>"), 'a b"><c', "It shows."))
    assert root.get("id") == "a-b---c"


# --- inks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ink", "tone"),
    [(PAPER, "paper"), (INK, "ink"), (MUTED, "muted"), (RULE, "rule"), (FILL, "fill")],
)
def test_inks_become_the_pages_own(ink: str, tone: str):
    root = inlined(f'<path d="M 0 0" style="fill: {ink}; stroke: {ink.upper()}"/>')
    assert looks(root, only(root, "path")) == {"fill": f"var(--{tone})", "stroke": f"var(--{tone})"}


def test_data_keep_their_colours():
    root = inlined('<path d="M 0 0" style="fill: #1a1a1c" stroke="#0072b2"/>')
    assert looks(root, only(root, "path")) == {"fill": "#1a1a1c", "stroke": "#0072b2"}


# --- size ----------------------------------------------------------------------------------------


def test_numbers_have_two_decimals_and_paths_no_blanks():
    root = inlined(
        '<path d="M 10.123456 20.0 \nL 30.5 20 \nL 30.5 40.999 \nL 1 -0.001 \nC 1 2 3 4 5 6 '
        '\nL 5 7 \nz\n"/>'
    )
    assert only(root, "path").get("d") == "M10.12 20H30.5V41L1 0C1 2 3 4 5 6V7z"


def test_a_stroke_to_where_it_stands_is_kept():
    root = inlined('<path d="M 1 2 L 1 2"/>')
    assert only(root, "path").get("d") == "M1 2L1 2", "with a round cap it is a dot"


def test_a_turn_by_nothing_is_left_out_and_a_scale_keeps_its_digits():
    body = (
        '<text transform="rotate(-0 10.123 20)">a</text>'
        '<text transform="translate(1.23456 2) rotate(-90)">b</text>'
        '<text transform="rotate(-0) translate(3.456 1) scale(0.015625 -0.015625)">c</text>'
    )
    turns = [text.get("transform") for text in inlined(body).iter("text")]
    assert turns == [
        None, "translate(1.23 2) rotate(-90)", "translate(3.46 1) scale(0.015625 -0.015625)"
    ]  # fmt: skip


def test_a_style_that_repeats_is_said_once():
    same = '<path d="M 0 0" style="fill: none; stroke: #0072b2; stroke-width: 0.80001"/>'
    other = '<path d="M 1 1" style="fill: none; stroke: #d55e00; stroke-width: 0.8"/>'
    root = inlined(same * 3 + other)
    paths = list(root.iter("path"))
    assert [path.get("style") for path in paths] == [None, None, None, "fill:none;stroke:#d55e00"]
    assert len({path.get("class") for path in paths[:3]}) == 1
    assert looks(root, paths[3]) == {
        "fill": "none", "stroke": "#d55e00", "stroke-width": "0.8"
    }  # fmt: skip


def test_groups_that_say_nothing_are_dissolved_and_others_are_not():
    root = inlined(
        '<g id="figure_1"><g id="axes_1"><path d="M 0 0"/></g>'
        '<g style="opacity: 0.5"><path d="M 1 1"/></g><g id="empty"/></g>'
    )
    assert [child.tag for child in root] == ["title", "style", "path", "g"]
    assert looks(root, root[3]) == {"opacity": "0.5"}


def test_there_are_as_many_class_names_as_it_takes():
    body = "".join(
        f'<path d="M 0 0" style="stroke-width: {n}"/><path d="M 1 1" style="stroke-width: {n}"/>'
        for n in range(1, 801)
    )
    root = inlined(body)
    widths = [looks(root, path)["stroke-width"] for path in root.iter("path")]
    assert widths == [str(n) for n in range(1, 801) for _ in "ab"]
    assert {"a", "z", "aa", "zz", "aaa"} <= {path.get("class") for path in root.iter("path")}


def test_a_grid_of_four_hundred_boxes_stays_small():
    with style():
        figure = Figure(figsize=(7.4, 5))
        axes = figure.add_axes((0.1, 0.1, 0.85, 0.85))
        boxes = [Rectangle((n % 20 / 20, n // 20 / 20), 0.05, 0.05) for n in range(400)]
        marks = PatchCollection(boxes, edgecolor=PAPER, array=[float(n) for n in range(400)])
        axes.add_collection(marks)
        for n in range(400):
            axes.text(n % 20 / 20, n // 20 / 20, f"{n}M", fontsize=6)
        svg = rendered(figure, "svg")
    small = inline_svg(svg, "heatmap-memory", "It shows.")
    assert len(small) < 100_000 < len(svg)
    assert small.count("</text>") >= 400


# --- safety --------------------------------------------------------------------------------------


def test_text_stays_text():
    svg = a_chart_svg(HOSTILE)
    text = inline_svg(svg, "frontier", HOSTILE)
    assert "<script" not in text
    assert "<b>" not in text
    assert text.count("</svg>") == 1
    root = ET.fromstring(text)
    assert HOSTILE in [element.text for element in root.iter("text")]
    assert only(root, "title").text == HOSTILE


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<foreignObject><b>b</b></foreignObject>",
        '<a href="https://example.org/"><path d="M 0 0"/></a>',
        '<style>@import "https://example.org/"</style>',
        '<image href="https://example.org/a.png" width="1" height="1"/>',
        '<use href="https://example.org/a.svg#b"/>',
        '<path d="M 0 0" onload="alert(1)"/>',
        '<path d="M 0 0" style="fill: url(https://example.org/)"/>',
        '<path d="M 0 0" style="fill: red} body {color: red"/>',
        '<g filter="url(https://example.org/#a)"><path d="M 0 0"/></g>',
    ],
)
def test_nothing_but_drawing_comes_through(body: str):
    text = inline_svg(wrapped(body), "chart", "It shows.")
    for bad in ("example", "alert", "<b>", "@import", "body", "onload", "red"):
        assert bad not in text


def test_a_picture_within_the_file_comes_through():
    root = inlined(
        '<image xlink:href="data:image/png;base64,\nAAAA" width="10.001" height="2" '
        'transform="scale(1 -1)"/>'
    )
    image = only(root, "image")
    assert image.attrib == {
        "href": "data:image/png;base64,AAAA", "width": "10", "height": "2",
        "transform": "scale(1 -1)",
    }  # fmt: skip


def test_what_is_no_svg_raises():
    with pytest.raises(ET.ParseError):
        inline_svg(b"<svg", "chart", "It shows.")


def test_a_line_break_in_the_finding_is_a_blank():
    root = ET.fromstring(inline_svg(wrapped("<path d='M 0 0'/>"), "c", "one\ntwo\x1b"))
    assert only(root, "title").text == "one two?"
