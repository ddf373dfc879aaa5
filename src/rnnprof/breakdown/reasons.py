"""What the bound of a training step rests on."""

from __future__ import annotations

from dataclasses import dataclass

from rnnprof.reasons import Reason


@dataclass(frozen=True, slots=True)
class DeviceWaited(Reason):
    """The device was done soon after the host's last launch: launches bound the step.

    Attributes:
        wait_s: from the host's last launch to the end of the device's work.
        ratio: of the step time.
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
        ratio: by which it is faster; 0.1 is 10%.
    """

    ratio: float


@dataclass(frozen=True, slots=True)
class NothingCompared(Reason):
    """Neither the matrix products nor the traffic of the step have a rate.

    Attributes:
        why: why its operations are not known, where that was recorded.
    """

    why: str | None = None


@dataclass(frozen=True, slots=True)
class Shares(Reason):
    """How much of the step time the matrix products and the least traffic would take.

    Attributes:
        products_ratio, traffic_ratio: None where unknown; a traffic of 0 fits the cache.
        products_unknown: why the products are not known, where that was recorded.
    """

    products_ratio: float | None
    traffic_ratio: float | None
    products_unknown: str | None = None
