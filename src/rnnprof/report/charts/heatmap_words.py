"""What a heat map says below itself."""

from __future__ import annotations

from rnnprof.report.charts.heatmap_sheet import Map
from rnnprof.report.charts.kit.boxes import (
    EVERY_LOOK,
)
from rnnprof.units import format_bytes

# --- the heat maps of a report -------------------------------------------------------------------


# --- the sentence --------------------------------------------------------------------------------


def finding_of(chart: Map) -> str:
    sentences = (_range_in_words(chart), _endings_in_words(chart), _edge_in_words(chart))
    return " ".join(f"{sentence}." for sentence in sentences if sentence)


def _range_in_words(chart: Map) -> str:
    """The least and the greatest value, and where they stand."""
    quantity, known = chart.quantity, chart.quantity.values
    subject = quantity.title.partition(",")[0]
    if not known:
        return f"{subject} is known at none of {_points(len(chart.places))}"
    low, high = min(known, key=lambda p: known[p]), max(known, key=lambda p: known[p])
    if known[low] == known[high]:
        others = f" and {_points(len(known) - 1)} more" if len(known) > 1 else ""
        return f"{subject} is {quantity.words(known[low])} at {low}{others}"
    return (
        f"{subject} lies between {quantity.words(known[low])} at {low} and "
        f"{quantity.words(known[high])} at {high}, known at {len(known)} of "
        f"{_points(len(chart.places))}"
    )


def _points(count: int) -> str:
    return f"{count:,} point{'' if count == 1 else 's'}"


def _endings_in_words(chart: Map) -> str:
    """How many points ended in each other way."""
    looks = [look for look in EVERY_LOOK if look in chart.looks]
    return ", ".join(f"{_points(len(chart.looks[look]))} {look.ending}" for look in looks)


def _edge_in_words(chart: Map) -> str:
    """The proven edge at the longest T that has one."""
    proven = [edge.certificate for edge in chart.edges if edge.is_certified]
    if not proven or proven[-1] is None or chart.quantity.name != "memory":
        return ""
    limit = format_bytes(chart.report.limit_bytes)
    return (
        f"B={proven[-1].batch} is the largest that fits at T={proven[-1].time_steps} under {limit}"
    )
