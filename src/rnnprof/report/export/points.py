"""A run for other tools: CSV and Parquet with a row for each requested point, or the JSON document.

The columns are :data:`COLUMNS`, in that order, whatever the run, so that exports can be joined end
to end.  Units are in their names.  A cell that is not known is empty (CSV) or null (Parquet), and
so is a float that is nan or infinite; ``outcome`` is empty at a place that was not reached.

Text stands on one line, with ``?`` for what could drive a terminal; the JSON document has it
whole.  In CSV, which has no types, an apostrophe stands before text that a spreadsheet would run
as a formula and before text that would be read as a number (an id of digits alone); it is not
taken off again.  Parquet has such text as it is.  CSV cuts text of more than 32,700 characters.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from rnnprof.errors import BadInputError
from rnnprof.factory import PHASES
from rnnprof.plain_text import json_text, one_line
from rnnprof.points.measurement import Measurement
from rnnprof.reasons import Reason
from rnnprof.report.export.document import RENAMED_FIELDS, document
from rnnprof.report.model import RunReport
from rnnprof.report.words.dispatch import as_text, say
from rnnprof.runfile.certificates import Certificate
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.runfile.points import Point
from rnnprof.runfile.records import Run

LONGEST: Final = 32_700
"""Characters of a CSV cell: a spreadsheet holds 32,767 (Excel specifications and limits), Python's
reader 131,072 with every quote counted twice."""

Cell = int | float | bool | str | None
Row = tuple[Cell, ...]
"""The cells of one place, in the order of :data:`COLUMNS`."""

FORMULA: Final = re.compile(r"(^|;)(\s*)(?=[=+\-@＝＋－＠])")
"""Where a spreadsheet would begin a formula: in a cell, also after the semicolon at which some
countries' spreadsheets split (OWASP, CSV Injection)."""


@dataclass(frozen=True, slots=True)
class RowPlace:
    """What a row is made of.

    Attributes:
        measurement: None at a point that was not reached.
        certificate: of the edge at the point's T; None where there is none.
    """

    run: Run
    point: Point
    measurement: Measurement | None
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class CsvColumn:
    """One column of CSV and Parquet.

    Attributes:
        kind: int, float, bool or str; every cell is of it, or None.
        meaning: stands beside the column in Parquet.
        value_of: the cell as the records have it.
    """

    name: str
    kind: type[int | float | bool | str]
    meaning: str
    value_of: Callable[[RowPlace], Any]

    def cell(self, place: RowPlace) -> Cell:
        """The value as a file can hold it."""
        value = self.value_of(place)
        if value is None:
            return None
        if self.kind is str:
            return _line(str(value)) or None
        if self.kind is float:
            return float(value) if math.isfinite(value) else None
        return self.kind(value)


@lru_cache(maxsize=256)  # most text is that of the run, the same in every row
def _line(text: str) -> str:
    return one_line(text)


# --- columns -------------------------------------------------------------------------------------


def _field(record: Any, name: str) -> Any:
    return None if record is None else getattr(record, name)


def _seen(name: str, kind: type[Any], meaning: str) -> CsvColumn:
    """A field of the measurement, by its name in the document."""
    own = RENAMED_FIELDS.get(name, name)
    return CsvColumn(name, kind, meaning, lambda place: _worded(_field(place.measurement, own)))


def _worded(value: Any) -> Any:
    return say(value) if isinstance(value, Reason) else value


def _interval(name: str, meaning: str) -> tuple[CsvColumn, CsvColumn]:
    """Both ends of an interval in seconds."""

    def end(index: int) -> Callable[[RowPlace], float | None]:
        def value_of(place: RowPlace) -> float | None:
            interval = _field(place.measurement, f"{name}_s")
            return None if interval is None else float(interval[index])

        return value_of

    return (
        CsvColumn(f"{name}_low_s", float, f"{meaning}: its lower end", end(0)),
        CsvColumn(f"{name}_high_s", float, f"{meaning}: its upper end", end(1)),
    )


def _phase_time(phase: str) -> CsvColumn:
    def value_of(place: RowPlace) -> float | None:
        return place.measurement.phase_times_s.get(phase) if place.measurement else None

    meaning = f"median time of the phase {phase}, from steps of its own"
    return CsvColumn(f"phase_{phase}_s", float, meaning, value_of)


def _breakdown(part: str, name: str, kind: type[Any], meaning: str) -> CsvColumn:
    return CsvColumn(
        name, kind, meaning, lambda place: _field(_field(place.measurement, "breakdown"), part)
    )


def _edge(field: str, kind: type[Any], meaning: str) -> CsvColumn:
    return CsvColumn(f"edge_{field}", kind, meaning, lambda place: _field(place.certificate, field))


def _fact(name: str, meaning: str) -> CsvColumn:
    """A fact of the environment."""
    return CsvColumn(name, str, meaning, lambda place: place.run.environment.get(name))


def _option(name: str, kind: type[Any], meaning: str) -> CsvColumn:
    """An option of the built-in cells; a factory or a script decides it by itself."""

    def value_of(place: RowPlace) -> Any:
        workload = place.run.header.workload
        return getattr(workload, name) if workload.is_built_in else None

    return CsvColumn(name, kind, f"{meaning}; empty with a factory or a script", value_of)


POINT_COLUMNS: Final = (
    CsvColumn("batch", int, "sequences per batch (B)", lambda place: place.point.batch),
    CsvColumn(
        "time_steps", int, "time steps per sequence (T)", lambda place: place.point.time_steps
    ),
    _seen("outcome", str, "how the point ended; empty where it was not reached"),
    _seen("phase", str, "where a point that is not measured ended"),
    _seen("reason", str, "why a point that is not measured ended so"),
)

TIME_COLUMNS: Final = (
    _seen("step_time_s", float, "median time of a training step"),
    *_interval("step_time_within_ci", "95% interval of the median within one process"),
    *_interval("step_time_ci", "range of the medians of 3 or more processes"),
    _seen("converged", bool, "the interval is as narrow as requested"),
    _seen("noisy", str, "what else used the machine meanwhile; empty for nothing"),
    _seen("time_steps_per_s", float, "time steps trained on per second"),
    _seen("sequences_per_s", float, "sequences trained on per second"),
    _seen("host_enqueue_s", float, "the host's time to submit a step (CUDA)"),
    _seen("block_wait_s", float, "median wait for the device at a block's end (CUDA)"),
    *(_phase_time(phase) for phase in (*PHASES, "other")),
)

SPEED_COLUMNS: Final = (
    # a float: a formula's product may be beyond 64 bits
    _seen("flops_per_step", float, "floating-point operations of one step"),
    _seen("flop_per_s", float, "floating-point operations per second"),
    _seen("matmul_share_ratio", float, "share of a matrix product's rate on the same device"),
    _seen("bound", str, "what bounds the step: launch, memory or compute"),
    _seen("bound_reason", str, "the figures behind bound, or why it is empty"),
)

MEMORY_COLUMNS: Final = (
    _seen("allocated_bytes", int, "peak by the allocator"),
    _seen("reserved_bytes", int, "peak reserved by the caching allocator (CUDA)"),
    _seen("process_bytes", int, "peak of the process by the operating system or NVML"),
    _seen("charged_bytes", int, "peak of what the limit counts"),
    _seen("retries", int, "times that the caching allocator emptied its cache to go on (CUDA)"),
    *(
        _breakdown(part, f"breakdown_{part}_bytes", int, f"{part} live at the allocator's peak")
        for part in BREAKDOWN_PARTS
    ),
    _breakdown("phase", "breakdown_phase", str, "the phase of the allocator's peak"),
    _seen("breakdown_reason", str, "why the breakdown is empty"),
)

NOTE_COLUMNS: Final = (
    _seen("implementation", str, "what actually ran: fused, native, loop or mixed"),
    CsvColumn(
        "warnings", str, "what else to know of the point, joined by semicolons",
        lambda place: _warnings(place.measurement),
    ),
)  # fmt: skip

EDGE_COLUMNS: Final = (
    _edge("batch", int, "the largest batch that fits at this T, by its certificate"),
    _edge("status", str, "of the certificate at this T; empty where there is none"),
    _edge("granularity", int, "certified: fits at edge_batch, not at that plus this"),
)

RUN_COLUMNS: Final = (
    CsvColumn("run", str, "the run file, as it was named", lambda place: place.run.path),
    CsvColumn(
        "run_id", str, "hash of workload, environment and limit: equal for repeated runs",
        lambda place: place.run.header.run_id,
    ),
    CsvColumn(
        "rnnprof_version", str, "the rnnprof that began the run",
        lambda place: place.run.rnnprof_version,
    ),
    CsvColumn(
        "workload", str, "what was trained, in one line",
        lambda place: place.run.header.workload.describe(),
    ),
    _option("cell", str, "recurrent cell"),
    _option("impl", str, "implementation requested"),
    _option("input_size", int, "features of one time step"),
    _option("hidden_size", int, "hidden units"),
    _option("layers", int, "stacked layers"),
    _option("bidirectional", bool, "both directions"),
    _option("dtype", str, "precision requested"),
    _option("optimizer", str, "optimizer"),
    _option("mode", str, "train or inference"),
    _fact("device", "cpu or cuda"),
    _fact("device_name", "model of the device"),
    _fact("torch", "version of torch"),
    CsvColumn(
        "limit_bytes", int, "the run's limit; what --reserve sets aside is part of it",
        lambda place: place.run.limit_bytes,
    ),
)  # fmt: skip

SEEN_COLUMNS: Final = (
    _seen("seen_batch", int, "sequences in the largest call of a recurrent layer"),
    _seen("seen_time_steps", int, "time steps in the longest call of a recurrent layer"),
)

SCRIPT_COLUMNS: Final = (
    _seen("start_s", float, "of a script: seconds to its first training step"),
    _seen("held_bytes", int, "of a script: charged bytes before its first training step"),
    _seen("held_weight_bytes", int, "of a script: its weights among them"),
    _seen("step_end", str, "of a script: what ends a training step: optimizer, weights, backward"),
    _seen("events_per_step", int, "of a script: such events in one training step"),
)

PLACE_COLUMNS: Final = (
    *POINT_COLUMNS,
    *TIME_COLUMNS,
    *SPEED_COLUMNS,
    *MEMORY_COLUMNS,
    *NOTE_COLUMNS,
    *EDGE_COLUMNS,
)
"""Those before the run's, which are the same in each of its rows."""

COLUMNS: Final = (*PLACE_COLUMNS, *RUN_COLUMNS, *SEEN_COLUMNS, *SCRIPT_COLUMNS)
"""Every column of CSV and Parquet, in order.  New ones go to the end: files are read by place."""


def _warnings(measurement: Measurement | None) -> str | None:
    return None if measurement is None else "; ".join(map(as_text, measurement.warnings))


# --- rows and files ------------------------------------------------------------------------------


def rows(report: RunReport) -> list[Row]:
    """A run's rows, by steps and then by batch: every requested point, reached or not."""
    edges = {certificate.time_steps: certificate for certificate in report.frontier}
    places = [
        RowPlace(report.run, point, report.measurements.get(point), edges.get(point.time_steps))
        for point in report.points
    ]
    of_run = [column.cell(place) for place in places[:1] for column in RUN_COLUMNS]
    return [
        (
            *[column.cell(place) for column in PLACE_COLUMNS],
            *of_run,
            *[column.cell(place) for column in (*SEEN_COLUMNS, *SCRIPT_COLUMNS)],
        )
        for place in places
    ]


def csv_file(table: Sequence[Row]) -> bytes:
    """Rows under a line of names, as RFC 4180 has them, in UTF-8; floats read back exactly."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow([column.name for column in COLUMNS])
    writer.writerows([_csv_cell(cell) for cell in row] for row in table)
    return buffer.getvalue().encode()


def parquet_file(table: Sequence[Row]) -> bytes:
    """Rows as a Parquet file; each column has its type also where all of it is null.

    Raises:
        BadInputError: when pyarrow is not there.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        broken = "" if isinstance(error, ModuleNotFoundError) else f" ({error})"
        raise BadInputError(
            f"parquet needs pyarrow{broken}: pip install 'rnnprof[parquet]'"
        ) from None
    kinds = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}
    schema = pa.schema(
        pa.field(column.name, kinds[column.kind], metadata={"meaning": column.meaning})
        for column in COLUMNS
    )
    arrays = [
        pa.array([row[index] for row in table], kinds[column.kind])
        for index, column in enumerate(COLUMNS)
    ]
    buffer = io.BytesIO()
    parquet.write_table(pa.table(arrays, schema=schema), buffer)
    return buffer.getvalue()


def json_file(report: RunReport) -> bytes:
    """The document of ``profile --json``."""
    return (json_text(document(report)) + "\n").encode()


def _csv_cell(cell: Cell) -> Cell:
    if isinstance(cell, str):
        return _csv_text(cell)
    return ("true" if cell else "false") if isinstance(cell, bool) else cell


@lru_cache(maxsize=256)
def _csv_text(text: str) -> str:
    """*text* that neither a spreadsheet nor a reader takes for anything else."""
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 3]}..."
    return f"'{text}" if _is_number(text) else FORMULA.sub(r"\1\2'", text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
