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
    return f"{_products(reason)}, {_traffic(reason.traffic_ratio)}"


def _products(reason: Shares) -> str:
    if reason.products_ratio is None:
        why = reason.products_unknown or "none could be timed"
        return f"the time of the matrix products is unknown ({why})"
    return f"matrix products would take {format_ratio(reason.products_ratio)} of the step"


def _traffic(ratio: float | None) -> str:
    if ratio is None:
        return "the least memory traffic is unknown"
    if ratio == 0:
        return "its data fit the cache"
    return f"the least memory traffic about {format_ratio(ratio)}"
