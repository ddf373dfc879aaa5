"""The search in the user's own process: fake steps, and real ones on the CPU."""

from __future__ import annotations

import gc
import random
import resource
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import nn

import rnnprof
from fake_caching_allocator import FakeOutOfMemoryError
from fake_cuda import FakeCuda
from rnnprof.errors import BadInputError, NoDeviceError
from rnnprof.maxbatch.inprocess import Probe
from rnnprof.maxbatch.reasons import BytesUnknown, NotBatchUsed, SmallestFails, Thrashes
from rnnprof.points.reasons import DataGave
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Outcome
from rnnprof.worker.backends import budget as budgets

MIB = 1 << 20


class FakeBudget:
    """A limit over bytes that a step says it takes, with a trace of what was asked of it."""

    kind = "fake"
    rehearses = False

    def __init__(self, taken: Callable[[int], int] | None = None) -> None:
        self.limit_bytes = 1000
        self.taken = taken
        self.batch = 0
        self.depth = 0
        self.runs = 0
        self.cleaned = 0
        self.is_closed = False

    def settle(self, limit_bytes: int | None) -> None:
        self.limit_bytes = limit_bytes or self.limit_bytes

    @contextmanager
    def in_force(self, *, slack: bool = False) -> Iterator[budgets.Reading]:
        reading = budgets.Reading()
        self.depth += 1
        self.runs += 1
        try:
            yield reading
        finally:
            self.depth -= 1
            reading.peak_bytes = self.taken(self.batch) if self.taken else None

    def charged_bytes(self) -> int | None:
        return None

    def run(self, work: Callable[[], None]) -> None:
        work()

    def close(self) -> None:
        self.is_closed = True

    def clean(self) -> None:
        self.cleaned += 1

    def step(self, batch: int) -> None:
        """Takes what *taken* says."""
        self.batch = batch
        assert self.depth == 1, "the limit is in force while step runs"
        if self.taken and self.taken(batch) > self.limit_bytes:
            raise MemoryError


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeBudget]:
    # another test of this process may have used torch.compile, after which no step is watched
    monkeypatch.setattr("rnnprof.worker.workload.seen.is_compiled", lambda: False)

    def make(taken: Callable[[int], int] | None = None) -> FakeBudget:
        budget = FakeBudget(taken)
        monkeypatch.setattr(budgets, "open_budget", lambda _: budget)
        return budget

    return make


def failing_above(edge: int, error: Callable[[], Exception] = MemoryError) -> Callable[[int], None]:
    def step(batch: int) -> None:
        if batch > edge:
            raise error()

    return step


@pytest.mark.parametrize("edge", [1, 2, 3, 15, 16, 17, 99, 1000, 65535])
def test_without_any_bytes_the_edge_is_found_and_both_sides_were_run(
    fake: Callable[..., FakeBudget], edge: int
) -> None:
    fake()
    found = rnnprof.largest_batch(failing_above(edge))
    assert (found.batch, found.status) == (edge, EdgeStatus.CERTIFIED)
    assert found.fits in found.history
    assert found.fails in found.history
    assert found.fails is not None
    assert found.fails.batch == edge + 1
    assert found.probes == len(found.history) <= 2 * 17 + 1
    assert found.ooms == sum(probe.outcome is Outcome.OOM for probe in found.history)
    assert found.train_with is None
    assert found.reason == BytesUnknown()


def test_bytes_lead_to_the_edge_in_a_few_probes(fake: Callable[..., FakeBudget]) -> None:
    budget = fake(lambda batch: 100 + 3 * batch)
    found = rnnprof.largest_batch(budget.step)
    assert found.batch == 300
    assert found.train_with == 283  # 100 + 3*283 = 949, of 950
    assert not found.train_with_is_measured
    assert found.probes <= 7
    assert found.ooms == 1
    assert budget.runs == budget.cleaned == found.probes


def test_train_with_is_measured_where_it_was_run(fake: Callable[..., FakeBudget]) -> None:
    budget = fake(lambda batch: 100 + 3 * batch)
    found = rnnprof.largest_batch(budget.step, headroom=0)
    assert found.train_with == found.batch == 300
    assert found.train_with_is_measured
    capped = rnnprof.largest_batch(budget.step, at_most=100)
    assert capped.train_with == capped.batch == 100
    assert capped.train_with_is_measured


@pytest.mark.parametrize("granularity", [8, 7, 100])
def test_multiples_of_the_granularity_alone_are_run(
    fake: Callable[..., FakeBudget], granularity: int
) -> None:
    budget = fake(lambda batch: 100 + 3 * batch)
    found = rnnprof.largest_batch(budget.step, granularity=granularity, start=9)
    assert found.batch == 300 // granularity * granularity
    assert found.fails is not None
    assert found.fails.batch == found.batch + granularity
    assert all(probe.batch % granularity == 0 for probe in found.history)
    assert (found.train_with or 0) % granularity == 0
    assert found.history[1].batch == -(-9 // granularity) * granularity


def test_at_most_caps(fake: Callable[..., FakeBudget]) -> None:
    fake()
    found = rnnprof.largest_batch(lambda _: None, at_most=77, granularity=5)
    assert (found.batch, found.status, found.fails) == (75, EdgeStatus.CAPPED, None)


def test_nothing_fits(fake: Callable[..., FakeBudget]) -> None:
    fake()
    found = rnnprof.largest_batch(failing_above(0))
    assert (found.batch, found.train_with, found.fits) == (None, None, None)
    assert found.status is EdgeStatus.NOTHING_FITS
    assert found.fails is not None
    assert found.fails.batch == 1
    assert found.reason == SmallestFails(1)
    assert found.probes == found.ooms == 3  # the warm-up's batch twice


def test_a_step_that_is_not_monotone_gets_a_true_local_edge(
    fake: Callable[..., FakeBudget],
) -> None:
    def taken(batch: int) -> int:
        return 5000 if 40 <= batch < 60 else 10 * batch

    budget = fake(taken)
    found = rnnprof.largest_batch(budget.step)
    assert found.batch is not None
    assert taken(found.batch) <= 1000 < taken(found.batch + 1)
    assert found.batch in (39, 100)


OOM_TEXTS = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 16 GiB",
    "CUDA error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 800 bytes.",
    "std::bad_alloc",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED",  # with smaller batches that passed
]


@pytest.mark.parametrize("text", OOM_TEXTS)
def test_every_form_of_oom_is_one(fake: Callable[..., FakeBudget], text: str) -> None:
    fake()
    found = rnnprof.largest_batch(failing_above(20, lambda: RuntimeError(text)))
    assert found.batch == 20
    assert found.fails is not None
    assert found.fails.message == text
    assert found.fails.requested_bytes == {"G": 2 << 30, "y": 800}.get(
        "G" if "GiB" in text else "y" if "800" in text else ""
    )


@pytest.mark.parametrize("word", ["execute", "create"])
def test_onednns_words_are_an_oom_where_most_of_the_limit_was_in_use(
    fake: Callable[..., FakeBudget], word: str
) -> None:
    budget = fake(lambda batch: min(990, 40 * batch))

    def step(batch: int) -> None:
        budget.step(batch)
        if batch > 24:
            raise RuntimeError(f"could not {word} a primitive")

    assert rnnprof.largest_batch(step).batch == 24


NO_OOM = [
    ValueError("out of patience"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
    RuntimeError("could not create a primitive descriptor for the LSTM forward"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
]


@pytest.mark.parametrize("error", NO_OOM, ids=str)
def test_any_other_error_is_raised_as_it_is_with_the_batch(
    fake: Callable[..., FakeBudget], error: Exception
) -> None:
    budget = fake()
    error.__notes__ = []
    with pytest.raises(type(error)) as caught:
        rnnprof.largest_batch(failing_above(20, lambda: error))
    assert caught.value is error
    [note] = error.__notes__
    assert note.startswith("rnnprof.largest_batch: raised by step(")
    assert budget.depth == 0
    assert budget.cleaned == budget.runs


def test_ctrl_c_goes_through(fake: Callable[..., FakeBudget]) -> None:
    budget = fake()

    def step(batch: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rnnprof.largest_batch(step)
    assert (budget.depth, budget.cleaned, budget.is_closed) == (0, 1, True)


def test_the_listener_hears_every_probe_outside_the_limit(
    fake: Callable[..., FakeBudget],
) -> None:
    budget, heard = fake(lambda batch: 100 + 3 * batch), []

    def listen(probe: Probe) -> None:
        assert budget.depth == 0
        heard.append(probe)

    found = rnnprof.largest_batch(budget.step, listener=listen)
    assert tuple(heard) == found.history
    assert [probe.is_warm_up for probe in heard] == [True] + [False] * (len(heard) - 1)
    assert str(heard[0]).startswith("batch 2: warm-up, ")
    assert str(heard[1]).startswith("batch 16: fits in 148 B, ")
    failed = next(str(probe) for probe in heard if not probe.passed)
    assert "out of memory in step(301)" in failed


def test_a_warm_up_that_does_not_fit_is_tried_again_before_it_counts(
    fake: Callable[..., FakeBudget],
) -> None:
    """What it had no room for may be what it loads once."""
    budget, calls = fake(lambda batch: 5 * batch), []

    def step(batch: int) -> None:
        calls.append(batch)
        if len(calls) == 1:
            raise MemoryError
        budget.step(batch)

    found = rnnprof.largest_batch(step)
    assert calls[:2] == [2, 2]
    assert (found.batch, found.status) == (200, EdgeStatus.CERTIFIED)


def test_a_warm_up_that_never_fits_counts(fake: Callable[..., FakeBudget]) -> None:
    budget = fake(lambda batch: 600 * batch)
    found = rnnprof.largest_batch(budget.step)
    assert [probe.batch for probe in found.history] == [2, 2, 1]
    assert (found.batch, found.status) == (1, EdgeStatus.CERTIFIED)


def test_confirm_steps_are_run_for_each_pass(fake: Callable[..., FakeBudget]) -> None:
    fake()
    calls: list[int] = []
    found = rnnprof.largest_batch(calls.append, at_most=16, confirm_steps=3)
    assert calls == [2] * 3 + [16] * 3
    assert found.probes == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"granularity": 0}, "granularity=0"),
        ({"at_most": 3, "granularity": 4}, "at_most=3"),
        ({"confirm_steps": 0}, "confirm_steps=0"),
        ({"headroom": 1.0}, "headroom=1.0"),
        ({"headroom": -0.1}, "headroom=-0.1"),
        ({"start": 0}, "start=0"),
        ({"start": 9, "at_most": 8}, "start=9"),
        ({"memory_limit": "much"}, "'much'"),
        ({"memory_limit": 0}, "memory_limit=0"),
        ({"device": "tpu"}, "'tpu'"),
        ({"memory_limit": "1000TiB", "device": "cpu"}, "more than this machine can give"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        rnnprof.largest_batch(pytest.fail, **options)


def test_a_card_that_torch_does_not_see_is_said() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(NoDeviceError, match="no GPU"):
        rnnprof.largest_batch(pytest.fail, device="cuda")


# real steps on the CPU


class Trainer:
    """An LSTM that lives outside of the step, as in most training scripts."""

    def __init__(self) -> None:
        self.model = nn.LSTM(64, 128, batch_first=True)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.seen: list[weakref.ref[torch.Tensor]] = []

    def step(self, batch: int) -> None:
        data = torch.zeros(batch, 64, 64)
        self.seen.append(weakref.ref(data))
        self.model(data)[0].square().mean().backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


LIMIT = 128 * MIB

TOLERANCE_RATIO = 0.05
"""How far two answers may lie apart: what room a heap has belongs to the machine."""

MOST_PROBES = 16


@pytest.mark.alone
def test_two_searches_in_one_process_agree_and_leave_nothing_behind() -> None:
    trainer, limits = Trainer(), resource.getrlimit(resource.RLIMIT_DATA)
    found = [
        rnnprof.largest_batch(trainer.step, memory_limit=LIMIT, device="cpu") for _ in range(2)
    ]
    assert resource.getrlimit(resource.RLIMIT_DATA) == limits
    batches = [one.batch or 0 for one in found]
    assert max(batches) - min(batches) <= TOLERANCE_RATIO * min(batches)
    for one in found:
        assert one.status is EdgeStatus.CERTIFIED
        assert one.fits is not None
        assert one.fails is not None
        assert one.fails.batch == one.fits.batch + 1 == (one.batch or 0) + 1
        assert one.limit_bytes == LIMIT
        if one.fits.peak_bytes is not None:
            assert 0.9 * LIMIT < one.fits.peak_bytes <= 1.01 * LIMIT
        assert 0.9 * (one.batch or 0) < (one.train_with or 0) < (one.batch or 0)
    assert max(one.probes for one in found) <= MOST_PROBES
    gc.collect()
    assert not [data for data in trainer.seen if data() is not None]


def leave_holes(seed: int) -> list[torch.Tensor]:
    """A heap with over 100 MiB of holes between small blocks, as a long session leaves them."""
    draw, held, kept = random.Random(seed), [], []
    for _ in range(12_000):
        held.append(torch.empty(int(2 ** draw.uniform(4, 20))))
        if len(held) > 200 or draw.random() < 0.5:
            held.pop(draw.randrange(len(held)))
        if draw.random() < 0.02:
            kept.append(torch.empty(draw.randrange(16, 4000)))
    return kept


@pytest.mark.alone
@pytest.mark.slow
def test_what_fits_does_not_depend_on_the_holes_that_a_history_left_in_the_heap() -> None:
    trainer = Trainer()
    before = rnnprof.largest_batch(trainer.step, memory_limit=LIMIT, device="cpu")
    kept = leave_holes(1)
    after = rnnprof.largest_batch(trainer.step, memory_limit=LIMIT, device="cpu")
    assert before.batch is not None
    assert after.batch == pytest.approx(before.batch, rel=TOLERANCE_RATIO)
    assert after.probes <= MOST_PROBES
    assert kept


@pytest.mark.alone
@pytest.mark.slow
def test_the_answer_holds_again_and_the_batch_above_fails_again() -> None:
    trainer = Trainer()
    batch = rnnprof.largest_batch(trainer.step, memory_limit=LIMIT, device="cpu").batch
    assert batch is not None
    within, beyond = round(0.95 * batch), round(1.05 * batch)
    again = rnnprof.largest_batch(
        trainer.step, memory_limit=LIMIT, device="cpu", at_most=within, start=within
    )
    assert (again.batch, again.status, again.ooms) == (within, EdgeStatus.CAPPED, 0)
    above = rnnprof.largest_batch(
        trainer.step, memory_limit=LIMIT, device="cpu", granularity=beyond, at_most=beyond
    )
    assert above.status is EdgeStatus.NOTHING_FITS
    assert [probe.passed for probe in above.history] == [True, False]  # the warm-up has no limit


@pytest.mark.alone
def test_what_is_loaded_at_first_takes_nothing_of_the_limit() -> None:
    loaded: list[torch.Tensor] = []

    def step(batch: int) -> torch.Tensor:
        if not loaded:
            loaded.append(torch.empty(100, MIB // 4))
        return torch.empty(batch, MIB // 4)

    found = rnnprof.largest_batch(step, memory_limit="64MiB", device="cpu")
    assert found.batch == pytest.approx(64, rel=TOLERANCE_RATIO)


@pytest.mark.alone
@pytest.mark.slow
def test_training_goes_on_at_shapes_that_were_never_run() -> None:
    """Where oneDNN runs out of memory it compiles nothing any more: not in this thread, then."""
    trainer = Trainer()
    for limit in ("100MiB", "102MiB"):
        found = rnnprof.largest_batch(trainer.step, memory_limit=limit, device="cpu")
        assert found.ooms >= 1
    for batch in (21, 22, 23):
        trainer.step(batch)


@pytest.mark.alone
@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_the_real_limit_is_restored_after_an_error(error: BaseException) -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    during = []

    def step(batch: int) -> None:
        during.append(resource.getrlimit(resource.RLIMIT_DATA)[0])
        if batch > 2:
            raise error

    with pytest.raises(type(error)):
        rnnprof.largest_batch(step, memory_limit=LIMIT, device="cpu")
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert len(during) >= 2
    assert all(0 < limit != before[0] for limit in during)


@pytest.mark.alone
def test_a_limit_that_is_in_force_already_is_kept_to() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    held = budgets._now(0).baseline_bytes
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (held + 128 * MIB, before[1]))
        inner = resource.getrlimit(resource.RLIMIT_DATA)
        found = rnnprof.largest_batch(
            lambda batch: torch.empty(batch, MIB // 4), memory_limit="1GiB", device="cpu"
        )
        assert resource.getrlimit(resource.RLIMIT_DATA) == inner
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    assert found.status is EdgeStatus.CERTIFIED
    assert found.limit_bytes <= 160 * MIB
    assert found.batch == pytest.approx(found.limit_bytes / MIB, rel=TOLERANCE_RATIO)


@pytest.mark.alone
def test_bytes_are_known_below_an_earlier_peak() -> None:
    """VmPeak is never reset, so a large array of before would hide every run's own peak."""
    big = torch.empty(400 * MIB, dtype=torch.uint8)
    del big
    found = rnnprof.largest_batch(
        lambda batch: torch.empty(batch, MIB // 4), memory_limit="100MiB", device="cpu"
    )
    assert found.batch == pytest.approx(100, rel=TOLERANCE_RATIO)
    for probe in found.history:
        if probe.passed and not probe.is_warm_up:
            assert probe.peak_bytes == pytest.approx(probe.batch * MIB, abs=MIB / 8)


@pytest.mark.alone
@pytest.mark.slow
def test_what_a_step_leaks_counts() -> None:
    kept: list[torch.Tensor] = []

    def step(batch: int) -> None:
        kept.append(torch.empty(batch, MIB // 4))

    found = rnnprof.largest_batch(step, memory_limit="256MiB", device="cpu", at_most=4096)
    held = sum(one.nbytes for one in kept[1:])  # the first is the warm-up's
    assert held <= 1.1 * found.limit_bytes


# CUDA without a GPU


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    cuda = FakeCuda()
    monkeypatch.setattr(budgets, "open_budget", lambda _: budgets.CudaBudget(cuda))
    return cuda


def training_on(gpu: Any, fixed: int, each: int) -> Callable[[int], None]:
    def step(batch: int) -> None:
        addresses = [gpu.allocator.malloc(fixed)]
        try:
            addresses.append(gpu.allocator.malloc(each * batch))
        except FakeOutOfMemoryError:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1.00 GiB.") from None
        finally:
            for address in addresses:
                gpu.allocator.free(address)

    return step


def test_a_card_under_a_limit_is_searched_by_what_it_reserves(gpu: Any) -> None:
    step = training_on(gpu, 64 * MIB, 4 * MIB)
    found = rnnprof.largest_batch(step, memory_limit="1GiB")
    assert found.batch == (1024 - 64) // 4
    assert found.limit_bytes == 1 << 30
    assert found.fits is not None
    assert found.fits.peak_bytes == 1 << 30
    assert gpu.fraction == 1.0
    assert gpu.allocator.reserved == 0


@pytest.mark.slow
def test_an_emptied_cache_is_said_and_is_no_fall_of_memory(gpu: Any) -> None:
    """Tensors take 4 MiB a sequence; the cache takes a fourth more, while there is room."""
    last = 0

    def step(batch: int) -> None:
        nonlocal last
        last = batch
        gpu.retries += 5 * batch > 1024
        if 4 * batch > 1024:
            raise RuntimeError("CUDA out of memory. Tried to allocate 1.00 GiB.")

    gpu.max_memory_allocated = lambda: 4 * last * MIB
    gpu.max_memory_reserved = lambda: (5 if 5 * last <= 1024 else 4) * last * MIB
    found = rnnprof.largest_batch(step, memory_limit="1GiB", confirm_steps=3)
    assert (found.status, found.batch) == (EdgeStatus.CERTIFIED, 256)
    assert found.reason == Thrashes(256, 3)
    assert found.train_with is not None
    assert 5 * found.train_with <= 0.95 * 1024
    assert found.probes <= 16
    assert max(probe.batch for probe in found.history) < 300


def test_a_card_without_a_limit_keeps_its_fraction(gpu: Any) -> None:
    gpu.others_bytes = 2 << 30
    gpu.set_per_process_memory_fraction = pytest.fail
    gpu.allocator.limit = gpu.mem_get_info()[0] - gpu.context_bytes
    found = rnnprof.largest_batch(training_on(gpu, 64 * MIB, 4 * MIB))
    assert found.batch == (gpu.allocator.limit - 64 * MIB) // (4 * MIB)


def test_a_card_that_has_less_says_so(gpu: Any) -> None:
    with pytest.raises(BadInputError, match="more than this GPU can give"):
        rnnprof.largest_batch(pytest.fail, memory_limit="17GiB")


def test_the_fraction_is_restored_after_an_error(gpu: Any) -> None:
    gpu.get_per_process_memory_fraction = lambda: 0.5

    def step(batch: int) -> None:
        assert gpu.fraction == (0.5 if batch == 2 else pytest.approx(1 / 16))
        if batch > 2:
            raise ValueError(batch)

    gpu.fraction = 0.5
    with pytest.raises(ValueError, match="16"):
        rnnprof.largest_batch(step, memory_limit="1GiB")
    assert gpu.fraction == 0.5


def test_a_broken_context_hides_no_error(gpu: Any) -> None:
    def step(batch: int) -> None:
        gpu.broken = True
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal memory access"):
        rnnprof.largest_batch(step, memory_limit="1GiB")


@pytest.mark.gpu
def test_a_real_card_under_a_limit() -> None:
    model = nn.LSTM(64, 128, batch_first=True).cuda()

    def step(batch: int) -> None:
        model(torch.zeros(batch, 64, 64, device="cuda"))[0].square().mean().backward()
        model.zero_grad(set_to_none=True)

    found = rnnprof.largest_batch(step, memory_limit="1GiB", granularity=8)
    assert found.status is EdgeStatus.CERTIFIED
    assert found.fits is not None
    assert 0.8 * (1 << 30) < (found.fits.peak_bytes or 0) <= 1 << 30


# steps that do not use their batch


def an_own_batch(sequences: int) -> Callable[[int], None]:
    layer = nn.GRU(4, 4)
    whole = torch.zeros(3, sequences, 4)
    return lambda batch: layer(whole[:, :batch])[0].sum().backward()


def test_a_step_that_does_not_use_its_batch_is_found_and_the_search_stops(
    fake: Callable[..., FakeBudget],
) -> None:
    fake()
    found = rnnprof.largest_batch(an_own_batch(20), at_most=4096)
    assert found.status is EdgeStatus.BATCH_NOT_USED
    assert (found.batch, found.train_with) == (None, None)
    assert isinstance(found.reason, NotBatchUsed)
    assert isinstance(found.reason.why, DataGave)
    assert found.reason.why.batch > found.reason.why.seen_batch == 20
    assert found.probes <= 4
    assert found.history[0].seen[0].batch == 2


def test_a_step_that_uses_its_batch_is_searched_to_the_end(
    fake: Callable[..., FakeBudget],
) -> None:
    fake()
    found = rnnprof.largest_batch(an_own_batch(500), at_most=300)
    assert (found.status, found.batch) == (EdgeStatus.CAPPED, 300)
