"""Reasons for what bounds a training step."""

from __future__ import annotations

from dataclasses import dataclass

from rnnprof.reasons import Reason


@dataclass(frozen=True, slots=True)
class DeviceWaited(Reason):
    """The device ended soon after the host's last launch, so launches bound the step.

    Attributes:
        wait_s: from the host's last launch to the end of the device's work.
        ratio: *wait_s* over the step time.
    """

    wait_s: float
    ratio: float


@dataclass(frozen=True, slots=True)
class NoRates(Reason):
    """The device's own rates were not measured in this run."""


@dataclass(frozen=True, slots=True)
class FasterThanProduct(Reason):
    """The step is faster than the matrix product that it is compared with.

    Attributes:
        ratio: how much faster; 0.1 is 10%.
    """

    ratio: float


@dataclass(frozen=True, slots=True)
class NothingCompared(Reason):
    """Neither the matrix products nor the memory traffic of the step can be compared with a rate.

    Attributes:
        why: why its operations are unknown, if that was recorded.
    """

    why: str | None = None


@dataclass(frozen=True, slots=True)
class Shares(Reason):
    """The shares of the step time that the matrix products and the least traffic explain.

    Attributes:
        products_ratio, traffic_ratio: None where unknown; a traffic of 0 fits the cache.
        products_unknown: why the products are unknown, if that was recorded.
    """

    products_ratio: float | None
    traffic_ratio: float | None
    products_unknown: str | None = None
