"""The Python API: the same engine as the command line, and a run file read back."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rnnprof.analysis.axes import DEFAULT_AXES, DEFAULT_POINT_SECONDS, parse_axis
from rnnprof.analysis.certify import frontier_of
from rnnprof.engine import journal
from rnnprof.engine.profile import ProfileOrder
from rnnprof.engine.profile import profile as _profile
from rnnprof.engine.sweep import Listener
from rnnprof.machine.places import find_place
from rnnprof.records import Certificate, Grid, Run, Settings
from rnnprof.workload import Workload

Axis = str | Iterable[int]

Frontier = tuple[Certificate, ...]
"""The certificates over all T, ascending."""


def profile(
    workload: Workload | None = None,
    *,
    batch: Axis | None = None,
    steps: Axis | None = None,
    settings: Settings | None = None,
    output: str | Path,
    device: str = "auto",
    extend: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Sweep the grid for a built-in workload and return the run; workers are separate processes.

    Args:
        workload: an LSTM 256->512 where none is given.
        batch, steps: an axis as on the command line, or the values; by default the device's.
        device: as ``--device`` takes it.
        output: the run file, ``NAME.jsonl``; an unfinished one is resumed.

    Raises:
        RnnprofError: as the command ``rnnprof profile`` tells.
    """
    place = find_place(device)
    defaults = DEFAULT_AXES[place.kind]
    order = ProfileOrder(
        workload or Workload(),
        Grid(_axis(batch or defaults[0]), _axis(steps or defaults[1])),
        settings or Settings(point_seconds=DEFAULT_POINT_SECONDS[place.kind]),
        Path(output),
        device=place.device,
        device_uuid=place.uuid,
        extend=extend,
        overwrite=overwrite,
    )
    return _profile(order, listener or Listener())


def max_batch(
    workload: Workload | None = None,
    *,
    steps: Axis | None = None,
    settings: Settings | None = None,
    output: str | Path,
    device: str = "auto",
    extend: bool = False,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Frontier:
    """Prove the largest batch that fits at each T; workers are separate processes.

    Args:
        workload: an LSTM 256->512 where none is given.
        steps: an axis as on the command line, or the values; by default the device's.
        settings: ``at_most``, ``granularity``, ``confirm_steps`` and the like, and the limit.
        device: as ``--device`` takes it.
        output: the run file, ``NAME.jsonl``; an unfinished one is resumed.

    Raises:
        RnnprofError: as the command ``rnnprof max-batch`` tells.
    """
    place = find_place(device)
    lengths = _axis(steps or DEFAULT_AXES[place.kind][1])
    order = ProfileOrder(
        workload or Workload(),
        Grid((), lengths),
        settings or Settings(),
        Path(output),
        command="max-batch",
        device=place.device,
        device_uuid=place.uuid,
        extend=extend,
        overwrite=overwrite,
    )
    run = _profile(order, listener or Listener())
    return tuple(each for each in frontier_of(run) if each.steps in lengths)


def load(path: str | Path) -> Run:
    """Read a run file.

    Raises:
        RunFileError: when it is missing, foreign, newer or damaged.
    """
    return journal.load(Path(path))


def _axis(values: Axis) -> tuple[int, ...]:
    return parse_axis(values if isinstance(values, str) else ",".join(map(str, values)))
