"""Runs of a user's script built by hand, for the tests of the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fakes import AT_UTC, HEADER, a_fit, a_memory, a_request, a_timing, conditions, step_time_s
from report_samples import MIB
from rnnprof.report.model import RunReport, report_of
from rnnprof.runfile.certificates import Certificate, EdgeFit, EdgeOom, EdgeStatus
from rnnprof.runfile.observations import Breakdown, Failure, Observation, Seen
from rnnprof.runfile.points import Grid, Outcome, Point, Role
from rnnprof.runfile.records import Finished, Run, Settings
from rnnprof.workload import ScriptSource, workload_of_script

LIMIT_BYTES = 512 * MIB
SCRIPT = ScriptSource("train.py", argv=("--batch-size", "{batch}", "--bptt", "{time_steps}"))

LONG_SCRIPT = ScriptSource(
    "speech_recognition.experiments.train_transducer",
    is_module=True,
    argv=(
        "--config", "conf/experiments/2026-11/bidirectional-lstm-6x1024-char-ctc.yaml",
        "--data", "/mnt/corpora/librispeech/processed/train-clean-100", "--token", "***",
        "model.dropout=0.3", "optimizer.name=adamw", "train.batch_size={batch}",
        "train.bptt={time_steps}",
    ),
    env={"HYDRA_FULL_ERROR": "1", "OUTPUT": "/tmp/outputs-{batch}"},
    assignments={"config.SEED": "1"},
    setup="./prepare_corpus.sh --small",
    prepare="rm -rf /tmp/outputs-{batch}",
)  # fmt: skip
"""A command line that fits no line of a chart, a terminal or a page."""

HELD: dict[str, Any] = {
    "start_s": 2.4,
    "held_bytes": 64 * MIB,
    "held_weight_bytes": 3 * MIB,
    "step_end": "optimizer",
    "events_per_step": 1,
}
"""What a usual script holds before its first training step."""


def charged_bytes(point: Point) -> int:
    return 70 * MIB + 40_000 * point.batch * point.time_steps


def script_fit(point: Point, **changes: Any) -> Observation:
    """A fit pass of the script: out of memory above the limit."""
    seen = tuple(Seen(step, point.batch, point.time_steps, point.batch) for step in (1, 10))
    known: dict[str, Any] = {
        "attempt": f"f{point.batch:05}{point.time_steps:06}",
        "limit_bytes": LIMIT_BYTES,
        "train_steps_run": 10,
        "train_steps": 10,
        "seen": seen,
        "peak_charged_bytes": charged_bytes(point),
    }
    if charged_bytes(point) > LIMIT_BYTES:
        known |= {
            "outcome": Outcome.OOM,
            "reason": "out of memory in backward",
            "train_steps_run": 0,
            "seen": (),
            "failure": Failure(phase="backward", message="can't allocate 5 MiB"),
        }
    return a_fit(point, **(HELD | known | changes))


def _others(point: Point) -> Iterator[Observation]:
    """The memory and the timing pass of a point that fits."""
    middle = step_time_s(point)
    samples = [middle * (1 + each / 1000) for each in (3, -2, 0, 1, -1, 2, -3)]
    place = f"{point.batch:05}{point.time_steps:06}"
    saved = charged_bytes(point) - 70 * MIB
    parts = Breakdown(3 * MIB, 3 * MIB, 6 * MIB, MIB, 0, saved, 0, MIB, 0, "backward")
    yield a_timing(
        point, *samples, attempt=f"7{place}", conditions=conditions(),
        sequences_per_step=point.batch,
        phase_samples_s={"forward": [0.4 * middle] * 3, "backward": [0.6 * middle] * 3},
        phase_step_samples_s=[middle] * 3,
    )  # fmt: skip
    yield a_memory(
        point, attempt=f"b{place}", peak_allocated_bytes=14 * MIB + saved, breakdown=parts,
        implementation="fused",
    )  # fmt: skip


def script_run(
    script: ScriptSource = SCRIPT,
    batches: Sequence[int] = (8, 16, 32, 64, 128, 256),
    lengths: Sequence[int] = (35, 70),
    **changes: Any,
) -> Run:
    """A profile of a script, with a proof at each T; *changes* are of every fit pass."""
    grid = Grid(tuple(batches), tuple(lengths))
    observations: list[Observation] = []
    frontier = []
    for point in grid.points():
        observations.append(script_fit(point, **changes))
        if charged_bytes(point) <= LIMIT_BYTES:
            observations += _others(point)
    for time_steps in lengths:
        largest = (LIMIT_BYTES - 70 * MIB) // (40_000 * time_steps)
        fits, fails = Point(largest, time_steps), Point(largest + 1, time_steps)
        proof = [script_fit(each, role=Role.PROBE, **changes) for each in (fits, fails)]
        observations += proof
        attempts = tuple(each.attempt for each in proof)
        frontier.append(
            Certificate(
                time_steps, EdgeStatus.CERTIFIED, 1, 65536, largest,
                EdgeFit(largest, attempts[0], charged_bytes(fits), 10),
                EdgeOom(largest + 1, attempts[1], "backward", "can't allocate 5 MiB"),
                horizon=10, confirmations=1, probes=2, ooms=1, attempts=attempts, request="r1",
            )
        )  # fmt: skip
    facts = {"device": "cpu", "device_name": "AMD EPYC 7B13, 2 processors", "torch": "2.13.0+cpu"}
    header = replace(
        HEADER, workload=workload_of_script(script), environment=facts, limit_bytes=LIMIT_BYTES
    )
    return Run(
        header, (a_request(grid, Settings()),), (), tuple(observations), tuple(frontier),
        (Finished("r1", AT_UTC, 300.0),), "runs/train.jsonl",
    )  # fmt: skip


def script_report(script: ScriptSource = SCRIPT, **changes: Any) -> RunReport:
    """The report of such a run."""
    return report_of(script_run(script, **changes), "train")
