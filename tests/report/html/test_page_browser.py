"""The page in a browser: it asks the network for nothing, breaks nothing, and all can use it."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from page_samples import a_certificate, a_grid, a_report, observed
from report_samples import mixed, report_from
from rnnprof.report.html.page import HEAT_MAPS, page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in BROWSERS if (path := shutil.which(name))), None)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]

WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 360, "height": 740}

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages by name: one run with all there is, two runs, and one that did nothing."""
    one = report_from(mixed(), (a_certificate(), a_certificate(64, 7)), "=mixed")
    pages = {
        "one": [a_report(one, verdict="UNFINISHED")],
        "two": [a_report(observed(), verdict="NOISY"), a_report(observed("slow", 1.5))],
        "bare": [a_report(a_grid(), "frontier")],
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, page_runs in pages.items():
        (folder / f"{name}.html").write_text(page(page_runs), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in pages}


@pytest.fixture
def opened(browser: Any, files: dict[str, Path]) -> Iterator[Open]:
    """Opens a page; whatever it asks for or complains of fails the test."""
    asked: list[str] = []
    complaints: list[str] = []

    @contextmanager
    def open_page(name: str, **options: Any) -> Iterator[Any]:
        with browser.new_context(**{"viewport": WIDE, **options}) as context:
            tab = context.new_page()
            tab.on("request", lambda request: asked.append(request.url))
            tab.on("console", lambda message: complaints.append(message.text))
            tab.on("pageerror", lambda error: complaints.append(str(error)))
            tab.goto(files[name].as_uri())
            yield tab

    yield open_page
    own = {path.as_uri() for path in files.values()}
    assert [url for url in asked if url not in own and not url.startswith(("data:", "blob:"))] == []
    assert complaints == []


def column(tab: Any, table: str, key: str) -> list[str]:
    """What a column shows, from top to bottom."""
    place = tab.locator(f"#{table} th[data-key={key}]").evaluate("head => head.cellIndex") + 1
    return [
        t.strip() for t in tab.locator(f"#{table} tbody td:nth-child({place})").all_inner_texts()
    ]


def seen(tab: Any) -> list[str]:
    """The heat maps that can be seen."""
    return [name for name in HEAT_MAPS if tab.locator(f"#{name}").is_visible()]


# --- whole and quiet -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "scheme"), [("one", "light"), ("two", "dark")])
def test_nothing_serious_stands_in_a_readers_way(opened: Open, name: str, scheme: str):
    with opened(name, color_scheme=scheme) as tab:
        found = axe.Axe().run(tab).response
        assert len(found["passes"]) > 20
        serious = [
            each for each in found["violations"] if each["impact"] in ("serious", "critical")
        ]
        assert [(each["id"], each["nodes"][0]["html"]) for each in serious] == []


def test_the_page_is_dark_where_the_reader_asks_for_it(opened: Open):
    paper = "getComputedStyle(document.body).backgroundColor"
    fill = "[...document.querySelectorAll('#frontier path')].map(e => getComputedStyle(e).fill)"
    for scheme, tone in (("light", "rgb(254, 254, 254)"), ("dark", "rgb(22, 24, 27)")):
        with opened("bare", color_scheme=scheme) as tab:
            assert tab.evaluate(paper) == tone
            assert tone in tab.evaluate(fill), "the chart's paper is the page's"


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_phone_scrolls_the_page_downward_only(opened: Open, name: str):
    with opened(name, viewport=PHONE) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        boxes = tab.locator(".scroll.scrolls").all()
        assert len(boxes) > 3
        for box in boxes:
            assert box.get_attribute("tabindex") == "0"
            assert box.get_attribute("role") == "region"
            assert box.get_attribute("aria-label") or box.get_attribute("aria-labelledby")


def test_without_script_the_page_is_whole(opened: Open):
    with opened("one", java_script_enabled=False) as tab:
        assert seen(tab) == list(HEAT_MAPS)
        assert tab.locator("button:visible, input:visible").count() == 0
        assert tab.locator("#points-table tbody tr").count() == 24


def test_it_prints(opened: Open, tmp_path: Path):
    with opened("two") as tab:
        pdf = tab.pdf(format="A4")
    assert pdf.startswith(b"%PDF-")
    assert len(pdf) > 20_000


def test_print_shows_all_heat_maps_and_no_controls_on_white(opened: Open):
    with opened("one", color_scheme="dark") as tab:
        assert seen(tab) == ["heatmap-memory"]
        tab.emulate_media(media="print")
        assert seen(tab) == list(HEAT_MAPS)
        assert tab.locator("button:visible").count() == tab.locator("th button:visible").count()
        assert tab.locator("nav:visible, fieldset:visible").count() == 0
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == (
            "rgb(255, 255, 255)"
        )
        assert tab.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


# --- what can be done with it --------------------------------------------------------------------


def test_the_switch_shows_one_heat_map_at_a_time(opened: Open):
    with opened("one") as tab:
        assert seen(tab) == [HEAT_MAPS[0]]
        tab.get_by_text("Heatmap step time", exact=True).first.click()
        assert seen(tab) == [HEAT_MAPS[1]]
        tab.keyboard.press("ArrowRight")
        assert seen(tab) == [HEAT_MAPS[2]]


def test_one_switch_turns_the_heat_maps_of_all_runs(opened: Open):
    with opened("two") as tab:
        tab.locator("input[value=heatmap-sequences]").check(force=True)
        shown = tab.locator("[data-choice] svg:visible").evaluate_all("all => all.map(e => e.id)")
        assert shown == ["heatmap-sequences-1", "heatmap-sequences-2"]


def test_points_sort_by_number_both_ways_and_blanks_stay_last(opened: Open):
    with opened("one") as tab:
        head = tab.locator("#points-table th[data-key=time_steps_per_s]")
        button = head.get_by_role("button")
        button.click()
        assert head.get_attribute("aria-sort") == "ascending"
        up = column(tab, "points-table", "time_steps_per_s")
        known = [float(text.replace("\u202f", "")) for text in up if text != "–"]
        assert known == sorted(known)
        assert len(known) < len(up)
        assert up[len(known) :] == ["–"] * (len(up) - len(known))
        button.press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        down = column(tab, "points-table", "time_steps_per_s")
        assert down == [*reversed(up[: len(known)]), *up[len(known) :]]
        assert tab.locator("#points-table [aria-sort]").count() == 1


def test_points_sort_by_word(opened: Open):
    with opened("one") as tab:
        tab.locator("#points-table th[data-key=outcome] button").click()
        outcomes = column(tab, "points-table", "outcome")
        assert (outcomes[0], outcomes[-1]) == ("crashed", "not reached")


def test_the_csv_holds_what_the_table_holds_in_full(opened: Open):
    run, measurements = mixed()
    with opened("one") as tab, tab.expect_download() as started:
        tab.get_by_role("button", name="Download as CSV").click()
        download = started.value
        text = Path(download.path()).read_bytes().decode()
        assert download.suggested_filename.endswith("mixed-points.csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert "\r\n" in text
    assert len(rows) == len(run.points())
    for row in rows:
        found = [
            m
            for m in measurements.values()
            if str(m.point) == f"B={row['batch']} T={row['time_steps']}"
        ]
        outcome = found[0].outcome.value if found else ""
        assert row["outcome"] == outcome
        rate = found[0].time_steps_per_s if found else None
        assert row["time_steps_per_s"] == ("" if rate is None else f"{rate:.9g}")


def test_a_formula_in_a_text_is_text_in_the_csv(opened: Open):
    with opened("two") as tab, tab.expect_download() as started:
        tab.evaluate(
            "document.querySelector('#points-table-2 tbody td:nth-child(3)').dataset.value = "
            "'=cmd()\"x'"
        )
        tab.locator("[data-csv=points-table-2]").click()
        text = Path(started.value.path()).read_text(encoding="utf-8")
    assert '"\'=cmd()""x"' in text


@pytest.mark.parametrize(
    ("region", "begins", "holds"),
    [
        ("What was run, and on what", "rnnprof profile --batch", "--time-steps"),
        ("Advice", "rnnprof profile --cell lstm", "--processes 5"),
    ],
)
def test_a_command_is_copied(opened: Open, region: str, begins: str, holds: str):
    """Of the run, and that which would decide a recommendation."""
    with opened("one", permissions=["clipboard-read", "clipboard-write"]) as tab:
        block = tab.get_by_role("region", name=region)
        block.get_by_role("button", name="Copy the command").click()
        block.get_by_text("Copied.").wait_for()
        text = tab.evaluate("navigator.clipboard.readText()")
        assert text.startswith(begins)
        assert holds in text


def test_the_keyboard_reaches_the_report_first(opened: Open):
    with opened("one") as tab:
        tab.keyboard.press("Tab")
        assert tab.evaluate("document.activeElement.textContent") == "Skip to the report"
        tab.keyboard.press("Enter")
        assert tab.evaluate("document.activeElement.id") == "main"
