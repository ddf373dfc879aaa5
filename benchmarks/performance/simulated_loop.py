"""The plain loop on the simulated GPU of simulated_peers, and the peers' searches around it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from benchmarks.performance.children import in_child
from benchmarks.performance.finders import (
    FIRST_TRIAL,
    LIGHTNING_DATA,
    LIGHTNING_TRAINER_STEPS,
    TINY,
    Ledger,
    PeerAnswer,
    Search,
    in_words,
    missing_batch,
    truth_of,
)
from rnnprof.simulate.description import describe
from rnnprof.units import GIB

MODEL: Final = "t4"
CELLS: Final = ("lstm", "gru")

IMPLS: Final = ("native", "fused")

LIMITS: Final = {"2GiB": 2 * GIB, "8GiB": 8 * GIB, "whole": None}
INPUT_SIZE: Final = 256
HIDDEN_SIZE: Final = 512
STEPS: Final = 64
TRUTH_TRAINING_STEPS: Final = 30
AROUND: Final = 10
"""Batches on each side of the truth that are run as well."""

START_BATCH: Final = 8192
TRIAL_TRAINING_STEPS: Final = 10
LIGHTNING_TRIALS: Final = 25
WORDS: Final = 160  # of an error's first line


@dataclass(frozen=True, slots=True)
class Case:
    """The question to the finders.

    Attributes:
        limit: a key of LIMITS.
    """

    cell: str
    impl: str
    limit: str

    @property
    def name(self) -> str:
        """As ``--only`` takes it."""
        return f"{self.cell}-{self.impl}-{self.limit}"

    @property
    def limit_bytes(self) -> int | None:
        """What training may reserve; None for the whole simulated GPU."""
        return LIMITS[self.limit]


CASES: Final = tuple(
    Case(cell, impl, limit) for cell in CELLS for impl in IMPLS for limit in LIMITS
)


@dataclass(frozen=True, slots=True)
class PlainTrial:
    """A batch in the plain loop, in a process of its own.

    Attributes:
        train_steps_run: training steps that passed.
        error: what ended it, in words; empty where all training steps passed.
        wall_s: from the fork to the end of the process.
    """

    batch: int
    train_steps_run: int
    error: str
    wall_s: float

    @property
    def fits(self) -> bool:
        """Whether all training steps passed."""
        return not self.error


@dataclass(frozen=True, slots=True)
class Edge:
    """The largest batch of the plain loop, by bisection.

    Attributes:
        batch: passes, and the next does not.
        strays: neighbours that fail below it or pass above it; none where all is monotone.
    """

    batch: int
    probes: int
    ooms: int
    search_s: float
    strays: tuple[int, ...]


def train_plainly(case: Case, batch: int, training_steps: int, ledger: Ledger) -> None:
    """The loop that most people write: x, out and loss live until the next step replaces them."""
    import torch

    model = new_model(case)
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(training_steps):
        optimizer.zero_grad(set_to_none=True)
        x = torch.randn(STEPS, batch, INPUT_SIZE, device="cuda")
        out, _state = model(x)
        loss = out.square().mean()
        loss.backward()
        optimizer.step()
        ledger.stepped()


def new_model(case: Case) -> Any:
    """The recurrent layer, on the GPU."""
    import torch

    layer = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[case.cell]
    return layer(INPUT_SIZE, HIDDEN_SIZE).cuda()


def prepare_process(case: Case) -> None:
    """With or without cuDNN, and the limit: the first CUDA call of the process."""
    import torch

    torch.backends.cudnn.enabled = case.impl == "fused"
    if case.limit_bytes is not None:
        total_bytes = torch.cuda.get_device_properties(0).total_memory
        # the half byte keeps the product from falling below the limit, as rnnprof's workers do
        torch.cuda.set_per_process_memory_fraction((case.limit_bytes + 0.5) / total_bytes)


def try_plainly(case: Case, batch: int) -> dict[str, Any]:
    """One batch, in a forked process: the training steps that passed, and what ended them."""
    ledger, error = Ledger(), ""
    try:
        with ledger.trial(batch):
            prepare_process(case)
            train_plainly(case, batch, TRUTH_TRAINING_STEPS, ledger)
    except Exception as raised:
        first_line = str(raised).strip().partition("\n")[0]
        error = f"{type(raised).__name__}: {first_line[:WORDS]}"
    return {"train_steps_run": ledger.trials[-1].train_steps_run, "error": error}


@dataclass(slots=True)
class PlainLoop:
    """Batches of one row in the plain loop; each is run once."""

    case: Case
    trials: dict[int, PlainTrial] = field(default_factory=dict)

    def run(self, batch: int) -> PlainTrial:
        """The outcome of *batch*."""
        if batch not in self.trials:
            began_s = time.monotonic()
            found = in_child(lambda: try_plainly(self.case, batch))
            self.trials[batch] = PlainTrial(batch, **found, wall_s=time.monotonic() - began_s)
        return self.trials[batch]

    def edge(self) -> Edge:
        """Bisect, then run the neighbours.

        Raises:
            SystemExit: no batch was out of memory.
        """
        while (batch := missing_batch(self._outcomes())) is not None:
            self.run(batch)
        truth, search = truth_of(self._outcomes()), list(self.trials.values())
        if truth.batch is None:
            raise SystemExit(f"{self.case.name}: {truth.reason}")
        return Edge(
            batch=truth.batch,
            probes=len(search),
            ooms=sum(not trial.fits for trial in search),
            search_s=sum(trial.wall_s for trial in search),
            strays=self._strays(truth.batch),
        )

    def _outcomes(self) -> dict[int, bool]:
        return {batch: trial.fits for batch, trial in self.trials.items()}

    def _strays(self, edge: int) -> tuple[int, ...]:
        near = range(max(1, edge - AROUND), edge + AROUND + 1)
        return tuple(batch for batch in near if self.run(batch).fits != (batch <= edge))


def accelerate_search(case: Case, ledger: Ledger) -> Search:
    """The plain loop, from a batch that is far too large downwards."""
    from accelerate.utils import find_executable_batch_size

    def train(batch_size: int) -> int:
        with ledger.trial(batch_size):
            train_plainly(case, batch_size, TRIAL_TRAINING_STEPS, ledger)
        return batch_size

    search: Search = find_executable_batch_size(train, starting_batch_size=START_BATCH)
    return search


def lightning_search(mode: str, case: Case, ledger: Ledger) -> Search:
    """The tuner on a small module."""
    import lightning
    from lightning.pytorch.tuner import Tuner

    trainer = lightning.Trainer(
        accelerator="gpu",
        devices=1,
        max_steps=LIGHTNING_TRAINER_STEPS,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    return lambda: Tuner(trainer).scale_batch_size(
        lightning_module(case, ledger),
        mode=mode,
        steps_per_trial=TRIAL_TRAINING_STEPS,
        init_val=TINY,
        max_trials=LIGHTNING_TRIALS,
    )


def lightning_module(case: Case, ledger: Ledger) -> Any:
    """The same model, loss and optimizer; its data are indices, its input is made in the step."""
    import lightning
    import torch
    from torch.utils.data import DataLoader

    class Module(lightning.LightningModule):  # type: ignore[misc]  # its types are not read
        def __init__(self) -> None:
            super().__init__()
            self.batch_size = TINY
            self.model = new_model(case)

        def train_dataloader(self) -> Any:
            return DataLoader(range(LIGHTNING_DATA), batch_size=self.batch_size)  # type: ignore[arg-type]

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.model.parameters())

        def training_step(self, indices: Any, _: int) -> Any:
            x = torch.randn(STEPS, len(indices), INPUT_SIZE, device=self.device)
            out, _state = self.model(x)
            return out.square().mean()

        def on_train_start(self) -> None:
            ledger.begin(self.batch_size)

        def on_train_batch_end(self, *_: Any) -> None:
            ledger.stepped()

        def on_train_end(self) -> None:
            ledger.passed()

    return Module()


@dataclass(frozen=True, slots=True)
class Peer:
    """A package and how to call it."""

    package: str
    search: Callable[[Case, Ledger], Search]


PEERS: Final = {
    "accelerate": Peer("accelerate", accelerate_search),
    "lightning power": Peer("lightning", partial(lightning_search, "power")),
    "lightning binsearch": Peer("lightning", partial(lightning_search, "binsearch")),
}


def serve_peer(who: str, case: Case) -> PeerAnswer:
    """Search under the limit on the simulated GPU."""
    import torch._dynamo  # noqa: F401  the first step of an optimizer imports it: over a second

    ledger, error, batch = Ledger(), "", None
    prepare_process(case)
    search = PEERS[who].search(case, ledger)
    print(FIRST_TRIAL, file=sys.stderr, flush=True)
    try:
        batch = search()
    except Exception as raised:
        error = in_words(raised, None, case.limit_bytes or describe(MODEL).memory_bytes)
    return PeerAnswer(batch, tuple(ledger.trials), error)
