"""Who a run is: workload, environment and limit, resolved once into its header."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any, Final

import rnnprof
from rnnprof.codec import encode
from rnnprof.errors import BadInputError
from rnnprof.machine.environment import fingerprint, machine_facts
from rnnprof.machine.process import available_bytes
from rnnprof.records import SCHEMA, Header
from rnnprof.units import MIB, format_bytes
from rnnprof.workload import Workload

RESERVE_RATIO: Final = 0.05
MIN_RESERVE_BYTES: Final = 512 * MIB
"""Left to the system whatever the limit: below it Linux drops the page cache and begins to kill."""


def make_header(workload: Workload, facts: dict[str, Any], limit_bytes: int) -> Header:
    """The identity of a run of *workload* here; *facts* are the worker's."""
    environment = {**machine_facts(), **facts}
    header = Header(
        schema=SCHEMA,
        run_id="",
        rnnprof_version=rnnprof.__version__,
        workload=workload,
        environment=environment,
        fingerprint=fingerprint(environment),
        limit_bytes=limit_bytes,
    )
    text = json.dumps(encode(header), sort_keys=True).encode()
    return replace(header, run_id=hashlib.blake2b(text, digest_size=6).hexdigest())


def resolve_limit(asked_bytes: int | None, before: Header | None) -> int:
    """The limit in bytes: as asked, or as resolved when the run began, or what is free.

    Raises:
        BadInputError: when the machine does not have that much.
    """
    available = available_bytes()
    spare = available - max(MIN_RESERVE_BYTES, int(RESERVE_RATIO * available))
    limit = asked_bytes or (before.limit_bytes if before else spare)
    if limit > spare:
        raise BadInputError(
            f"a limit of {format_bytes(limit)} is more than this machine can give now: "
            f"{format_bytes(available)} are available, {format_bytes(max(0, spare))} of them to "
            "training; give a smaller --memory-limit"
        )
    return limit


def guard_bytes() -> int:
    """Address space that a pass without a limit may take, so that the machine lives."""
    available = available_bytes()
    return max(
        MIN_RESERVE_BYTES, available - max(MIN_RESERVE_BYTES, int(RESERVE_RATIO * available))
    )
