"""Who a run is: workload, environment and limit, resolved once into its header."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Final

from rnnprof.device.environment import fingerprint, machine_facts
from rnnprof.device.process import available_bytes
from rnnprof.errors import BadInputError
from rnnprof.runfile.codec import encode
from rnnprof.runfile.records import SCHEMA, Header, Settings
from rnnprof.units import MIB, format_bytes
from rnnprof.version import VERSION
from rnnprof.workload import Workload

RESERVE_RATIO: Final = 0.05
MIN_RESERVE_BYTES: Final = 512 * MIB
"""Left to the system whatever the limit: below it Linux drops the page cache and begins to kill."""

SAME_RATIO: Final = 0.01
"""What is free goes up and down by this share of a limit from one minute to the next."""


def make_header(workload: Workload, facts: dict[str, Any], limit_bytes: int) -> Header:
    """The identity of a run of *workload* here; *facts* are the worker's."""
    machine = machine_facts()
    if facts.get("device") == "cuda":
        machine["processor_name"] = machine.pop("device_name")  # the device is the card
    environment = {**machine, **facts}
    header = Header(
        schema=SCHEMA,
        run_id="",
        rnnprof_version=VERSION,
        workload=workload,
        environment=environment,
        fingerprint=fingerprint(environment),
        limit_bytes=limit_bytes,
    )
    text = json.dumps(encode(header), sort_keys=True).encode()
    return replace(header, run_id=hashlib.blake2b(text, digest_size=6).hexdigest())


@dataclass(frozen=True, slots=True)
class Survey:
    """A card as a worker found it, once the workload had run on it and was gone.

    Attributes:
        context_bytes: of a worker's CUDA context; None with *context_note*.
        free_bytes: what the caching allocator could reserve.
    """

    free_bytes: int
    total_bytes: int
    context_bytes: int | None = None
    context_note: str | None = None
    warm_up_note: str | None = None


def resolve_card_limit(settings: Settings, kept_bytes: int | None, survey: Survey) -> int:
    """The limit on a card: as asked, or that of the card stood for, or what is free.

    Args:
        kept_bytes: the limit that a run has already, or the other side of a comparison: it is kept
            though less may be free by now.

    Raises:
        BadInputError: when this card does not have that much.
    """
    limit = settings.memory_limit or kept_bytes or survey.free_bytes
    if settings.card_bytes is not None:
        limit = _stand_in_limit(settings.card_bytes, survey)
    if limit > survey.free_bytes and limit != kept_bytes:
        raise BadInputError(
            f"a limit of {format_bytes(limit)} is more than this card can give now: "
            f"{format_bytes(survey.free_bytes)} of {format_bytes(survey.total_bytes)} are free; "
            "give a smaller --memory-limit or --card"
        )
    return limit


def _stand_in_limit(card_bytes: int, survey: Survey) -> int:
    if survey.context_bytes is None:
        raise BadInputError(
            f"--card: what the context takes is not known here ({survey.context_note}); give "
            "--memory-limit, the card's size less its context"
        )
    if card_bytes <= survey.context_bytes:
        raise BadInputError(
            f"--card {format_bytes(card_bytes)}: the context alone takes "
            f"{format_bytes(survey.context_bytes)}"
        )
    return card_bytes - survey.context_bytes


def resolve_limit(asked_bytes: int | None, kept_bytes: int | None = None) -> int:
    """The limit in bytes: as asked, or as it was resolved before, or what is free.

    Args:
        kept_bytes: as of :func:`resolve_card_limit`.

    Raises:
        BadInputError: when the machine does not have that much.
    """
    available = available_bytes()
    spare = _spare_bytes(available)
    limit = asked_bytes or kept_bytes or spare
    if limit > spare and limit != kept_bytes:
        raise BadInputError(
            f"a limit of {format_bytes(limit)} is more than this machine can give now: "
            f"{format_bytes(available)} are available, {format_bytes(max(0, spare))} of them to "
            "training; give a smaller --memory-limit"
        )
    return limit


def _spare_bytes(available: int) -> int:
    return available - max(MIN_RESERVE_BYTES, int(RESERVE_RATIO * available))


def shortage(limit_bytes: int, free_bytes: int | None = None) -> str | None:
    """That less is free than a limit that is kept; None where there is enough.

    Args:
        free_bytes: of a GPU; by default what this machine can give.
    """
    free = _spare_bytes(available_bytes()) if free_bytes is None else free_bytes
    if free >= limit_bytes * (1 - SAME_RATIO):
        return None
    return (
        f"the limit of {format_bytes(limit_bytes)} is kept, though only "
        f"{format_bytes(max(0, free))} are free now: what needs more is left open, and is not "
        "taken to be out of memory"
    )


def guard_bytes() -> int:
    """Address space that a pass without a limit may take, so that the machine lives."""
    available = available_bytes()
    return max(
        MIN_RESERVE_BYTES, available - max(MIN_RESERVE_BYTES, int(RESERVE_RATIO * available))
    )
