"""What benchmarks there are, and how each is run: at full size, and at its smallest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A module of this folder that prints a table and takes ``--output FILE`` for its figures.

    Attributes:
        question: what it answers, in one line.
        took_over: earlier benchmarks whose results stand until this one is run anew.
        minutes: about how long the full size takes on two processors without a GPU.
        full, smallest: arguments; None where there is no small size.
    """

    name: str
    question: str
    minutes: int
    full: tuple[str, ...] = ()
    smallest: tuple[str, ...] | None = None
    took_over: tuple[str, ...] = ()


CATALOGUE: Final = {
    each.name: each
    for each in (
        Benchmark(
            "precision", "Is the step time as exact as torch.utils.benchmark's, and as quick?", 2,
            smallest=("--rounds", "1", "--seconds", "0.1", "--only", "gru"),
        ),
        Benchmark(
            "overhead", "Does measuring change the step time?", 3,
            smallest=("--processes", "1", "--seconds", "0.2"),
        ),
        Benchmark(
            "sweep_cost",
            "What does a sweep cost beside the steps that it has to time, and what can be spared?",
            31, smallest=("--smallest",), took_over=("fast",),
        ),
        Benchmark(
            "startup", "How long until the first answer, and what is the template worth?", 3,
            smallest=("--repetitions", "1", "--lengths", "0"),
        ),
        Benchmark(
            "scale", "Do load, report, compare, export and advise grow with the run, and no more?",
            20, smallest=("--records", "6", "--repetitions", "1", "--only", "load,report,resume"),
            took_over=("report_cost",),
        ),
        Benchmark(
            "max_batch_vs_peers", "Whose largest batch is true, and in how many tries?", 41,
            smallest=("--quick", "--only", "lstm", "--who", "rnnprof"),
        ),
        Benchmark(
            "unsteady_steps",
            "Is the largest batch right where steps are not alike, or do not use their batch?", 8,
            smallest=("--only", "loads_constant", "--truth-steps", "12"),
        ),
        Benchmark(
            "model_error", "How far is the memory model off where it was not fitted?", 40,
            full=("--grid", "small"),
        ),
        Benchmark(
            "gate", "How often does the gate cry wolf, and what does it miss?", 35,
        ),
        Benchmark(
            "trainability_truth", "Are reach and noise scale those of known laws?", 1,
            smallest=("--repetitions", "2", "--gain", "0.95"),
        ),
        Benchmark(
            "plain_loop_truth",
            "Is the largest batch on a simulated GPU that of a plain loop, to the sequence?", 30,
        ),  # needs torch's CUDA build, so that it has no smallest size here; it has --quick
        Benchmark(
            "known_tables", "How do published tables of recurrent layers look on this device?", 16,
            full=("--table", "deepbench", "--at-most-gflop", "540"),
            smallest=("--table", "deepbench", "--at-most-gflop", "0.3", "--point-seconds", "0.1"),
        ),
    )
}  # fmt: skip
