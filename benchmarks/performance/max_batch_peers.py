"""What runs in a peer's process of max_batch_vs_peers: the workloads and the peers' searches."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from benchmarks.performance.finders import (
    FIRST_TRIAL,
    LIGHTNING_DATA,
    LIGHTNING_TRAINER_STEPS,
    ROOT,
    TINY,
    Ledger,
    PeerAnswer,
    Search,
    in_words,
)
from rnnprof.protocol import Task
from rnnprof.runfile.points import Point
from rnnprof.units import GIB
from rnnprof.workload import FactorySource, Workload

LANGUAGE_MODEL: Final = ROOT / "examples" / "word_language_model.py"
SMALL_MODEL: Final = {
    "embedding_size": 64, "hidden_size": 128, "layers": 2, "vocabulary": 2000,
}  # fmt: skip

WORKLOADS: Final = {
    "lstm": Workload(cell="lstm"),
    "gru": Workload(cell="gru"),
    "rnn-tanh": Workload(cell="rnn-tanh"),
    "language-model": Workload(
        cell=None,
        input_size=0,
        hidden_size=0,
        layers=0,
        factory=FactorySource("word_language_model.py:make", SMALL_MODEL),
    ),
}

START_BATCH: Final = 4096
"""The first batch for accelerate: above every largest batch here, because it only goes down."""

TRIAL_STEPS: Final = 3
"""Of accelerate's function; Lightning's default is the same."""

CLIP: Final = 0.25  # the language model's own
GUARD_BYTES: Final = 8 * GIB


@dataclass(frozen=True, slots=True)
class Case:
    """The question to the finders."""

    name: str
    limit_bytes: int
    time_steps: int
    device: str = "cpu"

    @property
    def workload(self) -> Workload:
        """What is trained."""
        return WORKLOADS[self.name]

    def task(self, batch: int = 1, **changes: Any) -> Task:
        """A fit pass of it."""
        path = f"{LANGUAGE_MODEL}:make" if self.workload.factory else None
        task = Task(
            "fit", self.workload, Point(batch, self.time_steps), self.device, factory_path=path
        )
        return replace(task, limit_bytes=self.limit_bytes, guard_bytes=GUARD_BYTES, **changes)


def accelerate_search(case: Case, ledger: Ledger) -> Search:
    """Build and train for a few steps, from a batch that is far too large downwards."""
    from accelerate.utils import find_executable_batch_size

    from rnnprof.worker.workload.workloads import build

    def train(batch_size: int) -> int:
        with ledger.trial(batch_size):
            training = build(case.task(), batch_size, case.time_steps)
            for _ in range(TRIAL_STEPS):
                training.step(lambda _name: nullcontext())
                ledger.stepped()
        return batch_size

    search: Search = find_executable_batch_size(train, starting_batch_size=START_BATCH)
    return search


def lightning_search(mode: str, case: Case, ledger: Ledger) -> Search:
    """The tuner on a module of the same network, loss and optimizer."""
    import lightning
    from lightning.pytorch.tuner import Tuner

    def trainer(time_steps: int) -> Any:
        return lightning.Trainer(
            accelerator="gpu" if case.device.startswith("cuda") else "cpu",
            devices=1,
            max_steps=time_steps,
            gradient_clip_val=CLIP if case.workload.factory else None,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    # what Lightning imports and makes at its first fit belongs to the baseline
    trainer(TINY).fit(lightning_module(replace(case, time_steps=TINY), Ledger()))
    return lambda: Tuner(trainer(LIGHTNING_TRAINER_STEPS)).scale_batch_size(
        lightning_module(case, ledger), mode=mode, max_trials=100
    )


def lightning_module(case: Case, ledger: Ledger) -> Any:
    """The workload as a LightningModule; its data are indices, its input is made in the step."""
    import lightning
    from torch.utils.data import DataLoader

    class Module(lightning.LightningModule):  # type: ignore[misc]  # its types are not read
        def __init__(self) -> None:
            super().__init__()
            self.batch_size = TINY
            self.network, self.loss_of, self.optimizer_of = network(case.workload)

        def train_dataloader(self) -> Any:
            return DataLoader(range(LIGHTNING_DATA), batch_size=self.batch_size)  # type: ignore[arg-type]

        def configure_optimizers(self) -> Any:
            return self.optimizer_of(self.parameters())

        def training_step(self, indices: Any, _: int) -> Any:
            return self.loss_of(len(indices), case.time_steps, self.device)

        def on_train_start(self) -> None:
            ledger.begin(self.batch_size)

        def on_train_batch_end(self, *_: Any) -> None:
            ledger.stepped()

        def on_train_end(self) -> None:
            ledger.passed()

    return Module()


def network(workload: Workload) -> tuple[Any, Callable[..., Any], Callable[..., Any]]:
    """The module, its loss on random input of (batch, steps, device), and its optimizer."""
    import torch

    from rnnprof.worker.workload.factories import load_factory
    from rnnprof.worker.workload.layers import recurrent_module

    if workload.factory is None:
        layer = recurrent_module(workload)

        def layer_loss(batch: int, time_steps: int, device: Any) -> Any:
            sequences = torch.empty((time_steps, batch, workload.input_size), device=device)
            return layer(sequences.uniform_(-1, 1))[0].square().mean()

        return layer, layer_loss, torch.optim.Adam

    sizes = workload.factory.args
    model = load_factory(f"{LANGUAGE_MODEL}:LanguageModel")(*(
        sizes[name] for name in ("vocabulary", "embedding_size", "hidden_size", "layers")
    ), 0.4)  # fmt: skip

    def word_loss(batch: int, time_steps: int, device: Any) -> Any:
        words = torch.randint(sizes["vocabulary"], (time_steps + 1, batch), device=device)
        return model(words[:-1], words[1:], model.zero_state(batch))[0]

    return model, word_loss, torch.optim.AdamW


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
    """Search under the limit, set up as the fit pass does."""
    import torch._dynamo  # the first step of an optimizer imports it: over a second

    from rnnprof.worker.session import open_device
    from rnnprof.worker.workload.warm_up import warm_up

    device, ledger, error, batch = open_device(case.task()), Ledger(), "", None
    device.ready_for_fit(None)
    warm_up(case.task())
    search = PEERS[who].search(case, ledger)
    limit = device.set_limit(case.limit_bytes)
    print(FIRST_TRIAL, file=sys.stderr, flush=True)
    try:
        batch = search()
    except Exception as raised:
        error = in_words(raised, limit.charged_bytes(), case.limit_bytes)
    device.lift_limit()
    assert torch._dynamo
    return PeerAnswer(batch, tuple(ledger.trials), error)
