"""The example factory really trains: on its text, with its state carried, in its phases."""

from __future__ import annotations

import importlib.util
import math
from collections import Counter
from contextlib import contextmanager, nullcontext
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from rnnprof.factory import PHASES

EXAMPLE = Path(__file__).parents[2] / "examples" / "word_language_model.py"
TINY = {"embedding_size": 16, "hidden_size": 24, "vocabulary": 60, "dropout": 0.0}


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location(EXAMPLE.stem, EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def words(example):
    return example.read_words()


@pytest.fixture(autouse=True)
def _reproducible():
    before = torch.get_num_threads()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def short_text(example, monkeypatch):
    """A text of a few words, so that its end comes soon."""

    def use(count):
        text = [f"word{i % 7}" for i in range(count)]
        monkeypatch.setattr(example, "read_words", lambda: text)
        return text

    return use


def watch(model):
    """What the model is called with and what it returns, call by call."""
    calls = []
    model.register_forward_hook(lambda _, given, returned: calls.append((*given, *returned)))
    return calls


def run(training, count):
    return [training.step(nullcontext).item() for _ in range(count)]


def flat(state):
    return [tensor for layer in state for tensor in layer]


def entropy(ids):
    """The least loss that guessing by frequency alone can reach, in nats a word."""
    shares = [count / len(ids) for count in Counter(ids).values()]
    return -sum(share * math.log(share) for share in shares)


@pytest.mark.parametrize(("optimizer", "rate"), [("adamw", 1e-2), ("sgd", 10.0)])
def test_training_beats_guessing_by_frequency(example, optimizer, rate):
    """Only a model that uses the words before comes below the entropy of the words it was given."""
    training = example.make(
        16, 16, "cpu", **TINY, layers=1, optimizer=optimizer, learning_rate=rate
    )
    calls = watch(training.model)
    losses = run(training, 250)
    last = 50
    bound = entropy([i for call in calls[-last:] for i in call[1].flatten().tolist()])
    assert losses[0] == pytest.approx(math.log(TINY["vocabulary"]), abs=0.3)
    assert sum(losses[-last:]) / last < bound - 0.2


def test_optimizer_is_the_one_asked_for(example):
    assert type(example.make(2, 3, "cpu", **TINY).optimizer) is torch.optim.AdamW
    training = example.make(2, 3, "cpu", **TINY, optimizer="sgd", learning_rate=0.5)
    assert type(training.optimizer) is torch.optim.SGD
    assert training.optimizer.param_groups[0]["lr"] == 0.5


def test_default_sizes_are_those_published(example):
    model = example.make(1, 1, "cpu").model
    assert [(lstm.input_size, lstm.hidden_size) for lstm in model.lstms] == [
        (400, 1150), (1150, 1150), (1150, 400),
    ]  # fmt: skip
    assert {lstm.num_layers for lstm in model.lstms} == {1}
    assert model.softmax.weight.shape == (10_000, 400)


def test_sequences_per_step_is_the_batch(example):
    assert example.make(5, 3, "cpu", **TINY).sequences_per_step == 5


def test_softmax_shares_the_storage_of_the_embedding_through_training(example):
    training = example.make(4, 3, "cpu", **TINY)
    before = training.model.embedding.weight.detach().clone()
    run(training, 2)
    model = training.model
    assert model.softmax.weight.data_ptr() == model.embedding.weight.data_ptr()
    assert not torch.equal(model.embedding.weight, before)
    stepped = [
        id(weight) for group in training.optimizer.param_groups for weight in group["params"]
    ]
    assert stepped.count(id(model.embedding.weight)) == 1


def test_state_is_carried_detached_from_chunk_to_chunk(example):
    training = example.make(4, 3, "cpu", **TINY)
    calls = watch(training.model)
    run(training, 3)
    for (*_, left), (_, _, found, *_) in pairwise(calls):
        assert all(torch.equal(a, b) for a, b in zip(flat(left), flat(found), strict=True))
    for *_, left in calls:
        assert all(not tensor.requires_grad and tensor.any() for tensor in flat(left))
    assert all(
        not torch.equal(a, b) for a, b in zip(flat(calls[0][-1]), flat(calls[1][-1]), strict=True)
    )
    assert [tensor.shape for tensor in flat(calls[0][-1])] == [
        (1, 4, 24), (1, 4, 24), (1, 4, 24), (1, 4, 24), (1, 4, 16), (1, 4, 16),
    ]  # fmt: skip


def test_carried_state_changes_the_loss(example):
    model = example.make(4, 3, "cpu", **TINY).model
    inputs, targets = torch.arange(12).view(3, 4), torch.arange(12).view(3, 4) + 1
    fresh, state = model(inputs, targets, model.zero_state(4))
    assert model(inputs, targets, state)[0] != fresh


def test_state_and_text_start_over_when_the_text_ends(example, short_text):
    text = short_text(2 * 21)  # two columns of 21 words: five chunks of four, and the last target
    training = example.make(2, 4, "cpu", **TINY)
    calls = watch(training.model)
    run(training, 6)
    unread = [not any(tensor.any() for tensor in flat(state)) for _, _, state, *_ in calls]
    assert unread == [True, False, False, False, False, True]
    assert torch.equal(calls[5][0], calls[0][0])
    assert not torch.equal(calls[1][0], calls[0][0])
    assert len(text) == 42


def test_batches_are_the_text_in_columns(example, words):
    batch, time_steps, vocabulary = 5, 7, 300
    _, ranked = example.number(words, vocabulary)
    training = example.make(batch, time_steps, "cpu", **{**TINY, "vocabulary": vocabulary})
    calls = watch(training.model)
    run(training, 3)
    known, column_length = set(ranked), len(words) // batch
    source = [word if word in known else "<unk>" for word in words]
    for column in range(batch):
        start = column * column_length
        read = [ranked[i] for call in calls for i in call[0][:, column]]
        wanted = [ranked[i] for call in calls for i in call[1][:, column]]
        assert read == source[start : start + 3 * time_steps]
        assert wanted == source[start + 1 : start + 3 * time_steps + 1]


def test_a_large_vocabulary_holds_every_word(example, words):
    ids, ranked = example.number(words, 10_000)
    assert [ranked[i] for i in ids] == words
    assert 1000 < len(ranked) < 10_000  # as the example's docstring says


def test_ids_are_frequency_ranks_and_rare_words_are_unknown(example):
    ids, ranked = example.number(["b", "a", "c", "a", "b", "a"], 3)
    assert ranked == ["<unk>", "a", "b"]
    assert ids.tolist() == [2, 1, 0, 1, 2, 1]


def test_phases_are_marked_in_order_and_gradients_are_none_before_forward(example):
    training = example.make(4, 3, "cpu", **TINY)
    marks, gradients = [], {}

    @contextmanager
    def phase(name):
        marks.append(("enter", name))
        gradients[name] = [weight.grad is not None for weight in training.model.parameters()]
        yield
        marks.append(("leave", name))

    for _ in range(2):
        marks.clear()
        training.step(phase)
        assert marks == [(edge, name) for name in PHASES for edge in ("enter", "leave")]
        assert not any(gradients["forward"])
        assert all(gradients["optimizer"])


def test_gradient_is_clipped(example):
    norms = []
    for clip in ({"clip": 0.01}, {}, {"clip": math.inf}):
        torch.manual_seed(0)
        training = example.make(4, 3, "cpu", **TINY, **clip)
        run(training, 1)
        weights = training.model.parameters()
        norms.append(torch.stack([weight.grad.norm() for weight in weights]).norm().item())
    assert norms[:2] == pytest.approx([0.01, 0.25], rel=1e-3)
    assert norms[2] > 0.26


def test_text_wraps_where_batch_and_steps_exceed_it(example, short_text):
    text, batch, time_steps = short_text(100), 8, 40
    training = example.make(batch, time_steps, "cpu", **TINY)
    calls = watch(training.model)
    run(training, 2)
    _, ranked = example.number(text, TINY["vocabulary"])
    columns = [[ranked[i] for call in calls for i in call[0][:, b]] for b in range(batch)]
    assert {len(column) for column in columns} == {2 * time_steps}
    assert columns[0] == text[: 2 * time_steps]
    endless = text * (batch * 10)
    length = (100 * -(-batch * (example.MIN_CHUNKS * time_steps + 1) // 100)) // batch
    for number, column in enumerate(columns):
        assert column == endless[number * length : number * length + 2 * time_steps]
    assert any(tensor.any() for tensor in flat(calls[1][2]))  # so state is carried here too


def test_a_batch_larger_than_the_text_trains(example, words):
    batch, time_steps = 1200, 100
    assert batch * time_steps > len(words)
    chunks = example.Chunks(example.number(words, 60)[0], batch, time_steps)
    assert len(chunks) >= example.MIN_CHUNKS
    inputs, targets = chunks[len(chunks) - 1]
    assert inputs.shape == targets.shape == (time_steps, batch)
