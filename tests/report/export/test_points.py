"""CSV, Parquet and JSON of a run, as other tools read them."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from report_samples import (
    HOSTILE,
    SAMPLES,
    Said,
    ended,
    grid_sample,
    hostile,
    measured,
    mixed,
    one_point,
    report_from,
    run_of,
    untouched,
)
from rnnprof.atomic import write_whole
from rnnprof.errors import BadInputError
from rnnprof.maxbatch.certify import Proof
from rnnprof.points.measurement import Measurement
from rnnprof.report.export.document import MEASURED_FIELDS, document
from rnnprof.report.export.points import (
    COLUMNS,
    csv_file,
    json_file,
    parquet_file,
    rows,
)
from rnnprof.report.model import report_of
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.journal import load
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.runfile.points import Outcome

GOLDEN = Path(__file__).parents[2] / "golden" / "run-2.jsonl"

PROMISED = """
batch time_steps outcome phase reason
step_time_s step_time_within_ci_low_s step_time_within_ci_high_s step_time_ci_low_s
step_time_ci_high_s converged noisy time_steps_per_s sequences_per_s host_enqueue_s
block_wait_s phase_data_s phase_forward_s phase_backward_s phase_optimizer_s phase_other_s
flops_per_step flop_per_s matmul_share_ratio bound bound_reason
allocated_bytes reserved_bytes process_bytes charged_bytes retries
breakdown_weights_bytes breakdown_gradients_bytes breakdown_optimizer_state_bytes
breakdown_input_bytes
breakdown_weight_casts_bytes breakdown_saved_bytes breakdown_library_bytes
breakdown_temporaries_bytes
breakdown_rounding_bytes breakdown_phase breakdown_reason implementation warnings
edge_batch edge_status edge_granularity
run run_id rnnprof_version workload cell impl input_size hidden_size layers bidirectional dtype
optimizer mode device device_name torch limit_bytes
seen_batch seen_time_steps
start_s held_bytes held_weight_bytes step_end events_per_step
"""
"""The columns that files of users rest on: new ones may come after them, none may move or go."""

NAMES = PROMISED.split()

WHOLE = measured(
    4, 16, phase_times_s=dict.fromkeys(("data", "forward", "backward", "optimizer", "other"), 0.1),
    step_time_ci_s=(0.1, 0.30000000000000004), host_enqueue_s=1e-5, block_wait_s=2e-5,
    flops_per_step=7 * 10**12, flop_per_s=78.1e9, matmul_share_ratio=0.61, bound="compute",
    bound_reason=Said("the matrix products"), peak_reserved_bytes=1 << 40, retries=3, phase="data",
    reason="because", noisy=Said("others"), breakdown_reason="it is whole", warnings=("one", "two"),
    start_s=2.5, held_bytes=7, held_weight_bytes=3, step_end="weights", events_per_step=2,
)  # fmt: skip
"""A point with every field known."""

EDGE = Proof(16, EdgeStatus.CERTIFIED, granularity=8, at_most=64, batch=40)


def read(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline=""), strict=True))


def read_one(measurement: Measurement, **environment: object) -> dict[str, str]:
    """The one row of a run with one point."""
    point = measurement.point
    run = run_of((point.batch,), (point.time_steps,), environment=environment)
    (row,) = read(csv_file(rows(report_from((run, {point: measurement}), (EDGE,)))))
    return row


def test_the_columns_stand_where_they_stood() -> None:
    assert [column.name for column in COLUMNS][: len(NAMES)] == NAMES
    assert len({column.name for column in COLUMNS}) == len(COLUMNS)
    assert all(column.meaning for column in COLUMNS)


def test_every_field_of_the_document_has_a_column() -> None:
    # a table has no room for what a process printed
    apart = {"step_time_within_ci_s", "step_time_ci_s", "phase_time_s", "log_tail"}
    assert set(MEASURED_FIELDS) - apart <= set(NAMES)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_row_for_each_place_and_the_same_columns_whatever_the_run(name: str) -> None:
    run, measurements = SAMPLES[name]()
    content = csv_file(rows(report_from((run, measurements))))
    header, *_ = content.decode().split("\r\n")
    assert header.split(",") == [column.name for column in COLUMNS]
    found = [(int(row["time_steps"]), int(row["batch"])) for row in read(content)]
    assert found == [(point.time_steps, point.batch) for point in run.points()]
    assert content.count(b"\n") == content.count(b"\r\n") == len(found) + 1


def test_every_known_number_reads_back_exactly() -> None:
    row = read_one(WHOLE)
    (told,) = document(report_from((run_of((4,), (16,)), {WHOLE.point: WHOLE})))["points"]
    flat = {
        **told,
        "step_time_ci_low_s": 0.1,
        "step_time_ci_high_s": 0.30000000000000004,
        "step_time_within_ci_low_s": told["step_time_within_ci_s"][0],
        "step_time_within_ci_high_s": told["step_time_within_ci_s"][1],
        **{f"phase_{phase}_s": value for phase, value in told["phase_time_s"].items()},
        **{f"breakdown_{part}_bytes": told["breakdown_bytes"][part] for part in BREAKDOWN_PARTS},
    }
    numbers = [column for column in COLUMNS[: NAMES.index("edge_batch")] if column.kind is not str]
    for column in numbers:
        if column.kind is not bool:
            assert column.kind(row[column.name]) == flat[column.name], column.name
    assert row["reserved_bytes"] == "1099511627776"
    assert row["converged"] == "true"


def test_words_edge_and_identity() -> None:
    row = read_one(WHOLE, device="cuda", device_name="a GPU", torch="2.13.0+cu130")
    words = {
        "outcome": "measured", "phase": "data", "reason": "because", "noisy": "others",
        "bound": "compute", "bound_reason": "the matrix products", "warnings": "one; two",
        "breakdown_phase": "backward", "breakdown_reason": "it is whole", "implementation": "fused",
        "edge_batch": "40", "edge_status": "certified", "edge_granularity": "8",
        "run": "runs/sample.jsonl", "run_id": "0123456789abcdef", "rnnprof_version": "0.1.0",
        "workload": "lstm 256->512, 1 layer, fp32, adam", "cell": "lstm", "impl": "fused",
        "input_size": "256", "hidden_size": "512", "layers": "1", "bidirectional": "false",
        "dtype": "fp32", "optimizer": "adam", "mode": "train", "device": "cuda",
        "device_name": "a GPU", "torch": "2.13.0+cu130", "limit_bytes": str(512 << 20),
    }  # fmt: skip
    assert {name: row[name] for name in words} == words


def test_what_is_not_known_is_empty() -> None:
    row = read_one(ended(Outcome.OOM, 4, 32, "forward"))
    known = {
        "batch": "4", "time_steps": "32", "outcome": "oom", "phase": "forward",
        "reason": "the oom of a test",
    }  # fmt: skip
    of_the_run = {column.name for column in COLUMNS[NAMES.index("run") :]}
    assert {name: text for name, text in row.items() if text and name not in of_the_run} == known
    assert row["device_name"] == "", "the environment of this run is empty"


def test_a_place_that_was_not_reached_has_its_row() -> None:
    run, measurements = mixed()
    by_place = {
        (row["batch"], row["time_steps"]): row
        for row in read(csv_file(rows(report_from((run, measurements)))))
    }
    row = by_place["4", "64"]
    assert [row[name] for name in NAMES[2 : NAMES.index("run")]] == [""] * (NAMES.index("run") - 2)
    assert row["run_id"] == "0123456789abcdef"
    untold = [place for place, row in by_place.items() if not row["outcome"]]
    assert untold == [("4", "64")]


def test_the_edge_is_that_of_the_row_s_own_steps() -> None:
    run, measurements = grid_sample((4, 8), (16, 32))
    found = read(csv_file(rows(report_from((run, measurements), (EDGE,)))))
    assert [row["edge_batch"] for row in found] == ["40", "40", "", ""]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_is_no_text(value: float) -> None:
    broken = {
        "step_time_s": value,
        "step_time_ci_s": (0.5, value),
        "phase_times_s": {"data": value},
    }
    point = measured(4, 16, **broken)
    row = read_one(point)
    names = ("step_time_s", "step_time_ci_high_s", "phase_data_s")
    assert [row[name] for name in names] == ["", "", ""]
    assert row["step_time_ci_low_s"] == "0.5"
    run = run_of((4,), (16,))
    frame = pd.read_parquet(
        io.BytesIO(parquet_file(rows(report_from((run, {point.point: point})))))
    )
    assert frame["step_time_s"].isna().all()


def test_operations_beyond_64_bits_are_still_a_number() -> None:
    point = measured(4, 16, flops_per_step=10**30)
    table = rows(report_from((run_of((4,), (16,)), {point.point: point})))
    assert read(csv_file(table))[0]["flops_per_step"] == "1e+30"
    assert pd.read_parquet(io.BytesIO(parquet_file(table)))["flops_per_step"][0] == 1e30


def test_a_factory_decides_for_itself() -> None:
    row = read(csv_file(rows(report_from(hostile()))))[0]
    names = ("cell", "impl", "input_size", "dtype", "optimizer", "bidirectional", "mode")
    assert [row[name] for name in names] == [""] * len(names)
    assert row["workload"].startswith("tr$a_{i}n\\frac$.py:ma<k>e")


# --- text ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1 more", "'+1 more"),
        ("-B=4 did not", "'-B=4 did not"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'=1+1"),
        ("\r\n=1+1", "'=1+1"),
        ("＝1+1", "'＝1+1"),
        ("out; =1+1", "out; '=1+1"),
        ("out;@x;-y", "out;'@x;'-y"),
        ("a - b = c @ d", "a - b = c @ d"),
        ("2.13", "'2.13"),
        ("001234567890", "'001234567890"),
        ("nan", "'nan"),
        ("signal 11", "signal 11"),
        ('he said "no", twice', 'he said "no", twice'),
        ("two\nlines\x1b[2J", "two lines?[2J"),
        ("深い\u00a0名前 עברית", "深い 名前 עברית"),
        ("half a \ud800 letter\0", "half a ? letter?"),
        (" ", ""),
    ],
)
def test_text_is_only_ever_text(text: str, written: str) -> None:
    assert read_one(ended(Outcome.FAILED, 4, 16, reason=text))["reason"] == written


def test_text_in_parquet_is_as_it_is() -> None:
    run, measurements = one_point()
    hosts = (replace(run.hosts[0], rnnprof_version="=1"),)
    run = replace(run, header=replace(run.header, run_id="001234567890"), hosts=hosts)
    frame = pd.read_parquet(io.BytesIO(parquet_file(rows(report_from((run, measurements))))))
    assert (frame["run_id"][0], frame["rnnprof_version"][0]) == ("001234567890", "=1")


@given(st.text(st.characters()), st.text(st.characters()))
def test_any_text_at_all_is_one_cell_of_one_line(reason: str, name: str) -> None:
    point = ended(Outcome.FAILED, 4, 16, reason=reason, warnings=(name, reason))
    run = run_of((4,), (16,), environment={"device_name": name})
    content = csv_file(rows(report_from((run, {point.point: point}))))
    assert content.count(b"\n") == 2
    (row,) = read(content)
    for text in (row["reason"], row["device_name"], row["warnings"]):
        assert text[:1] not in tuple("=+-@\t\r＝＋－＠")
        assert text.isprintable()
    assert row["limit_bytes"] == str(512 << 20), "no cell has moved"


# --- as others read them -------------------------------------------------------------------------


def check_types(frame: pd.DataFrame) -> None:
    """What is a number, and known somewhere, is a number to pandas."""
    for column in COLUMNS:
        if column.kind in (int, float) and frame[column.name].notna().any():
            assert pd.api.types.is_numeric_dtype(frame[column.name]), column.name
        if column.kind is str and frame[column.name].notna().any():
            assert not pd.api.types.is_numeric_dtype(frame[column.name]), column.name


def test_pandas_reads_csv(tmp_path: Path) -> None:
    run, measurements = mixed()
    (tmp_path / "run.csv").write_bytes(csv_file(rows(report_from((run, measurements), (EDGE,)))))
    frame = pd.read_csv(tmp_path / "run.csv")
    assert frame.shape == (24, len(COLUMNS))
    check_types(frame)
    best = frame.loc[frame["time_steps_per_s"].idxmax()]
    known = [m for m in measurements.values() if m.time_steps_per_s]
    fastest = max(known, key=lambda m: m.time_steps_per_s or 0.0)
    assert (best["batch"], best["time_steps"]) == (fastest.point.batch, fastest.point.time_steps)
    assert best["time_steps_per_s"] == pytest.approx(fastest.time_steps_per_s, rel=1e-15)


@pytest.mark.parametrize("name", ["mixed", "untouched", "all_oom", "hostile"])
def test_pandas_reads_parquet(tmp_path: Path, name: str) -> None:
    table = rows(report_from(SAMPLES[name]()))
    (tmp_path / "run.parquet").write_bytes(parquet_file(table))
    frame = pd.read_parquet(tmp_path / "run.parquet")
    assert list(frame.columns) == [column.name for column in COLUMNS]
    check_types(frame)
    cells = [[None if pd.isna(cell) else cell for cell in row] for row in frame.to_numpy(object)]
    assert cells == [list(row) for row in table]


def test_parquet_has_the_same_types_whatever_the_run(tmp_path: Path) -> None:
    paths = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    for path, sample in zip(paths, (untouched, mixed), strict=True):
        path.write_bytes(parquet_file(rows(report_from(sample()))))
    schemas = [parquet.read_schema(path) for path in paths]
    assert schemas[0] == schemas[1]
    assert schemas[0].field("allocated_bytes").type == pa.int64()
    assert schemas[0].field("bound").type == pa.string()
    assert schemas[0].field("time_steps").metadata == {b"meaning": b"time steps per sequence (T)"}


def test_parquet_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BadInputError) as refused:
        parquet_file([])
    assert str(refused.value) == "parquet needs pyarrow: pip install 'rnnprof[parquet]'"


def test_json_is_the_document_and_pandas_reads_its_points() -> None:
    run = load(GOLDEN)
    whole = json.loads(json_file(report_of(run)))
    assert list(whole) == [
        "run", "points", "frontier", "loop", "step_function", "advice", "environment",
    ]  # fmt: skip
    frame = pd.DataFrame(whole["points"])
    assert pd.api.types.is_numeric_dtype(frame["step_time_s"])
    table = pd.read_csv(io.BytesIO(csv_file(rows(report_of(run)))))
    both = frame.merge(table, on=["batch", "time_steps"], suffixes=("", "_csv"))
    assert len(both) == len(frame) == 9
    assert both["step_time_s"].notna().any()
    pd.testing.assert_series_equal(
        both["step_time_s"], both["step_time_s_csv"], check_names=False, rtol=1e-15, atol=0
    )
    assert both["outcome"].tolist() == both["outcome_csv"].tolist()


@pytest.mark.slow
def test_ten_thousand_points_in_linear_time() -> None:
    def calls(side: int) -> int:
        """Of Python functions: no clock, which other work would slow down."""
        run, measurements = grid_sample(range(1, side + 1), range(1, side + 1), 10**9)
        report = report_from((run, measurements))
        count = 0

        def counted(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event == "call"

        sys.setprofile(counted)
        try:
            table = rows(report)
            csv_file(table), parquet_file(table)
        finally:
            sys.setprofile(None)
        return count

    calls(10)
    assert calls(100) < 4.4 * calls(50), "four times the points"


# --- the file ------------------------------------------------------------------------------------


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_bytes(b"old")
    path.chmod(0o640)
    was = path.stat().st_ino
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != was, "a reader of the old file still has it whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.csv"
    path.write_bytes(b"old")

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    link, target = tmp_path / "latest.csv", tmp_path / "run.csv"
    link.symlink_to(target)
    write_whole(link, b"1")
    write_whole(link, b"2")
    assert link.is_symlink()
    assert target.read_bytes() == b"2"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_whole(pipe, b"rows")
        assert os.read(reader, 10) == b"rows"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_the_hostile_name_is_one_cell_also_in_csv() -> None:
    found = read(csv_file(rows(report_from(hostile()))))
    assert {row["workload"] for row in found} == {
        HOSTILE.replace("\x1b", "?") + "(size$=$x^{2}$ <b>)"
    }
