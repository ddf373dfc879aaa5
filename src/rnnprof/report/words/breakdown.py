"""Sentences of what bounds a training step."""

from __future__ import annotations

from rnnprof.breakdown.reasons import (
    DeviceWaited,
    FasterThanProduct,
    NoRates,
    NothingCompared,
    Shares,
)
from rnnprof.report.words.dispatch import say
from rnnprof.units import format_ratio, format_seconds


@say.register
def _(reason: DeviceWaited) -> str:
    share = format_ratio(reason.ratio)
    return (
        f"the device was done {format_seconds(reason.wait_s)}, {share} of a step, after the "
        "host's last launch"
    )


@say.register
def _(_: NoRates) -> str:
    return "the device's own rates were not measured in this run"


@say.register
def _(reason: FasterThanProduct) -> str:
    return (
        f"the step is {format_ratio(reason.ratio)} faster than the matrix product that it is "
        "compared with: which share of the device it uses is not known"
    )


@say.register
def _(reason: NothingCompared) -> str:
    return reason.why or "neither a matrix product nor a copy could be timed"


@say.register
def _(reason: Shares) -> str:
    if reason.products_ratio is None:
        products = f"are unknown ({reason.products_unknown or 'none could be timed'})"
    else:
        products = f"would take {format_ratio(reason.products_ratio)} of the step"
    traffic = "is unknown"
    if reason.traffic_ratio is not None:
        traffic = f"about {format_ratio(reason.traffic_ratio)}"
    if reason.traffic_ratio == 0:
        traffic = "none: its data fit the cache"
    return f"the matrix products {products}, the least traffic {traffic}"
