"""The benchmarks, and how to run each at full size and at its smallest size."""

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
            "precision", "Is the step time as accurate as torch.utils.benchmark's, and as fast?", 2,
            smallest=("--rounds", "1", "--seconds", "0.1", "--only", "gru"),
        ),
        Benchmark(
            "overhead", "Does measuring change the step time?", 3,
            smallest=("--processes", "1", "--seconds", "0.2"),
        ),
        Benchmark(
            "sweep_cost",
            "What does a sweep cost besides the steps that it has to time, and what can it save?",
            31, smallest=("--smallest",), took_over=("fast",),
        ),
        Benchmark(
            "startup", "How long until the first answer, and how much does the template save?", 3,
            smallest=("--repetitions", "1", "--lengths", "0"),
        ),
        Benchmark(
            "scale",
            "Is the cost of load, report, compare, export and advise linear in the run's size?", 20,
            smallest=("--records", "6", "--repetitions", "1", "--only", "load,report,resume"),
            took_over=("report_cost",),
        ),
        Benchmark(
            "max_batch_vs_peers",
            "Which tool finds the true largest batch, and in how many probes?", 41,
            smallest=("--quick", "--only", "lstm", "--who", "rnnprof"),
        ),
        Benchmark(
            "unsteady_steps",
            "Is the largest batch right where steps differ or do not use their batch?", 8,
            smallest=("--only", "loads_constant", "--truth-steps", "12"),
        ),
        Benchmark(
            "model_error",
            "How large is the error of the memory model where it was not fitted?", 40,
            full=("--grid", "small"),
        ),
        Benchmark(
            "gate", "How often does the gate raise a false alarm, and what does it miss?", 35,
        ),
        Benchmark(
            "trainability_truth", "Do reach and noise scale agree with theory?", 1,
            smallest=("--repetitions", "2", "--gain", "0.95"),
        ),
        Benchmark(
            "plain_loop_truth",
            "Is the largest batch on a simulated GPU exactly that of a plain loop?", 30,
        ),  # needs torch's CUDA build, so it has no smallest size here; it has --quick
        Benchmark(
            "script_truth",
            "Is a script's largest batch that of plain Python, and its step time its own?", 60,
            smallest=("--quick", "--only", "constants"),
        ),
        Benchmark(
            "script_clock", "Is a script's step time the one of its own clock?", 2,
            smallest=("--runs", "1"),
        ),
        Benchmark(
            "shared_workers",
            "What does one worker for many points save on CUDA, and what does it change?", 2,
        ),  # needs torch's CUDA build
        Benchmark(
            "script_vs_factory",
            "Does a script take the memory and the time of the same training as a factory?", 6,
        ),
        Benchmark(
            "known_tables",
            "How does this device compare with published tables of recurrent layers?", 16,
            full=("--table", "deepbench", "--at-most-gflop", "540"),
            smallest=("--table", "deepbench", "--at-most-gflop", "0.3", "--point-seconds", "0.1"),
        ),
    )
}  # fmt: skip
