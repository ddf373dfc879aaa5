"""Each example factory is profiled through the command line, really trains, and is what it says."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import random
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

from rnnprof.factory import PHASES

EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = {"embedding_size": 8, "hidden_size": 16}
TRAINED = {  # of each example: sizes, and the share of its first loss that training leaves at most
    "word_language_model": ({"layers": 1, "vocabulary": 60, "learning_rate": 1e-2}, 0.9),
    "packed_classifier": ({"layers": 1, "dropout": 0.0, "learning_rate": 1e-2}, 0.9),
    "seq2seq_attention": ({"dropout": 0.0, "learning_rate": 1e-2}, 0.8),
    "amp_accumulation": ({"accumulate": 2, "learning_rate": 1e-2, "num_workers": 0}, 0.8),
}


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def packed_classifier():
    return load("packed_classifier")


@pytest.fixture(scope="module")
def seq2seq_attention():
    return load("seq2seq_attention")


@pytest.fixture(scope="module")
def amp_accumulation():
    return load("amp_accumulation")


@pytest.fixture(autouse=True)
def _reproducible():
    before = torch.get_num_threads()
    random.seed(0)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(training, count):
    return [training.step(nullcontext).item() for _ in range(count)]


def watch(module):
    """What a module is called with and what it returns, call by call."""
    calls = []
    module.register_forward_hook(lambda _, given, returned: calls.append((given, returned)))
    return calls


def gradients(model):
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def norm(model):
    return torch.stack([weight.grad.norm() for weight in model.parameters()]).norm().item()


def processes_in(folder):
    """The processes that run in *folder*, and go on: what was killed takes a moment to end."""
    until_s = time.monotonic() + 30
    while (found := running_in(folder)) and time.monotonic() < until_s:
        time.sleep(0.1)
    return found


def running_in(folder):
    """The processes that run in *folder* now: those that a profile started, and theirs."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder):
                found.append(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def profile(name, folder):
    """What ``rnnprof profile`` of an example says, and what runs in its folder afterwards."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RNNPROF_")}
    command = [
        sys.executable, "-m", "rnnprof", "profile", "--factory", f"{EXAMPLES / name}.py:make",
        "--factory-arg", "hidden_size=16", "--factory-arg", "embedding_size=8",
        "--batch", "2,4", "--time-steps", "12", "--point-seconds", "0.05",
        "--memory-limit", "1GiB", "--json", "--no-certify", "--no-report",
    ]  # fmt: skip
    environment = {**kept, "OMP_NUM_THREADS": "1"}  # others run beside it
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200,
        check=False,
    )  # fmt: skip
    return done, processes_in(folder)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n == "packed_classifier" else pytest.mark.slow) for n in TRAINED],
)
def test_profile_measures_every_point(name, tmp_path):
    done, left_running = profile(name, tmp_path)
    assert done.returncode == 0, done.stderr
    points = json.loads(done.stdout)["points"]
    assert [(p["batch"], p["time_steps"]) for p in points] == [(2, 12), (4, 12)]
    for point in points:
        assert point["outcome"] == "measured", point["reason"]
        assert point["breakdown_bytes"] is not None, point["breakdown_reason"]
        parts = {part: size for part, size in point["breakdown_bytes"].items() if part != "phase"}
        assert sum(parts.values()) == point["allocated_bytes"] > 0
        assert min(parts.values()) >= 0
        assert {*PHASES} <= {*point["phase_time_s"]}
        assert all(point["phase_time_s"][phase] > 0 for phase in PHASES)
        sequences = point["batch"] * (4 if name == "amp_accumulation" else 1)
        assert point["sequences_per_s"] * point["step_time_s"] == pytest.approx(sequences)
        assert point["warnings"] == []
    assert left_running == []


@pytest.mark.parametrize("name", TRAINED)
def test_loss_falls(name):
    sizes, share = TRAINED[name]
    training = load(name).make(16, 10, "cpu", embedding_size=16, hidden_size=32, **sizes)
    losses = run(training, 90)
    assert sum(losses[-10:]) < share * sum(losses[:10])
    assert sum(losses[:10]) / 10 < 6  # nats: near guessing, not far above it


@pytest.mark.parametrize("name", TRAINED)
def test_phases_are_marked_and_gradients_are_none_at_first(name):
    training = load(name).make(2, 6, "cpu", **SMALL)
    marks, had_gradients = [], []

    @contextmanager
    def phase(part):
        had_gradients.append(any(weight.grad is not None for weight in training.model.parameters()))
        marks.append(part)
        yield

    for _ in range(2):
        marks.clear()
        had_gradients.clear()
        training.step(phase)
        micro_batches = 4 if name == "amp_accumulation" else 1
        assert marks == [*PHASES[:3] * micro_batches, PHASES[3]]
        assert not any(had_gradients[1:3])  # at the data mark, those of the step before may live
        assert had_gradients[-1]
    assert training.sequences_per_step == 2 * micro_batches


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("shape", [(1, 2), (2, 2), (3, 50)])
def test_odd_shapes_train(name, shape):
    """(2, 2) is the warm-up's; with 1 sequence nothing may lose its batch dimension."""
    workers = {"num_workers": 0} if name == "amp_accumulation" else {}
    training = load(name).make(*shape, "cpu", **SMALL, **workers)
    assert all(math.isfinite(loss) for loss in run(training, 3))


@pytest.mark.parametrize("name", ["packed_classifier", "seq2seq_attention", "amp_accumulation"])
def test_clipping_bounds_the_norm(name):
    module, norms = load(name), []
    for clip in (0.01, math.inf):
        torch.manual_seed(0)
        training = module.make(4, 6, "cpu", **SMALL, clip=clip)
        run(training, 1)
        norms.append(norm(training.model))
    assert norms[0] == pytest.approx(0.01, rel=1e-3)
    assert norms[1] > 0.02


# packed_classifier


def drawn(module, batch, time_steps, count=20):
    chapters = [torch.arange(100) + 2, torch.arange(30) + 200]
    passages = module.draw_passages(chapters, batch, time_steps)
    return chapters, [next(passages) for _ in range(count)]


def test_lengths_are_mixed_and_one_at_least_is_full(packed_classifier):
    _, batches = drawn(packed_classifier, 6, 20)
    lengths = torch.stack([lengths for _, lengths, _ in batches])
    assert lengths.max(dim=1).values.tolist() == [20] * len(batches)
    assert lengths.min() >= 5
    assert len(lengths.unique()) > 10
    assert any(row.tolist() != sorted(row, reverse=True) for row in lengths)


@pytest.mark.parametrize("time_steps", [20, 70])  # 70: longer than a chapter, which starts over
def test_passages_are_their_chapters_text_and_then_padding(packed_classifier, time_steps):
    chapters, batches = drawn(packed_classifier, 4, time_steps)
    for words, lengths, labels in batches:
        assert words.shape == (4, time_steps)
        for row, length, label in zip(words, lengths, labels, strict=True):
            assert not row[length:].any()
            source = chapters[label].repeat(3)
            start = int((source == row[0]).nonzero()[0])
            assert torch.equal(row[:length], source[start : start + length])
    assert {int(label) for *_, labels in batches for label in labels} == {0, 1}


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_padding_changes_nothing(packed_classifier, cell):
    """What stands behind a passage's end, and how much of it, is not seen; what stands in it is."""
    model = packed_classifier.Classifier(cell, 50, 8, 12, 2, 0.5).eval()
    words, lengths = torch.randint(2, 50, (3, 9)), torch.tensor([4, 9, 6])
    wanted = model(words, lengths)
    longer = torch.cat((words, torch.randint(2, 50, (3, 5))), dim=1)
    longer[0, 4:] = 7
    assert torch.allclose(model(longer, lengths), wanted, atol=1e-6)
    alone = model(words[:1, :4], lengths[:1])
    assert torch.allclose(alone, wanted[:1], atol=1e-6)  # both directions end at its own ends
    words[0, 3] = 1
    assert not torch.allclose(model(words, lengths)[0], wanted[0], atol=1e-6)


def test_both_directions_reach_the_loss(packed_classifier):
    training = packed_classifier.make(4, 6, "cpu", **SMALL)
    run(training, 1)
    for name, gradient in gradients(training.model.rnn).items():
        assert gradient.any(), name


def test_chapters_share_no_paragraph_and_rare_words_are_unknown(packed_classifier):
    chapters = packed_classifier.read_chapters()
    assert len(chapters) == packed_classifier.CHAPTERS
    assert min(len(words) for words in chapters) > 1000
    ids = packed_classifier.number([["b", "a"], ["c", "a", "b", "a"]], 4)
    assert [chapter.tolist() for chapter in ids] == [[3, 2], [1, 2, 3, 2]]


# seq2seq_attention


def test_targets_are_the_sources_backwards(seq2seq_attention):
    sources, targets = next(seq2seq_attention.draw_pairs("the text to read " * 9, 8, 10))
    assert sources.shape == targets.shape == (8, 10)
    end = seq2seq_attention.END
    lengths = set()
    for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
        length = source.index(end)
        lengths.add(length)
        assert target[:length] == source[:length][::-1]
        assert target[length] == end
        assert not any(source[length + 1 :] + target[length + 1 :])
    assert len(lengths) > 1
    assert lengths <= set(range(5, 10))


@pytest.fixture
def translator(seq2seq_attention):
    model = seq2seq_attention.Translator(30, 8, 12, 0.0)
    pairs = seq2seq_attention.draw_pairs("a text of few letters " * 9, 5, 10)
    return model, *next(pairs)


def test_attention_weights_sum_to_one_over_the_source(seq2seq_attention, translator):
    model, sources, targets = translator
    calls = watch(model.attention)
    model(sources, targets)
    assert len(calls) == 10  # one for each letter of the target
    for _, (_, weights) in calls:
        assert torch.allclose(weights.sum(dim=1), torch.ones(5))
        assert not weights[sources == seq2seq_attention.PADDING].any()
        assert (weights[sources != seq2seq_attention.PADDING] > 0).all()


def test_decoder_is_given_the_letters_before_by_teacher_forcing(seq2seq_attention, translator):
    model, sources, targets = translator
    calls = watch(model.decoder)
    before = model(sources, targets)
    given = torch.cat((torch.full((5, 1), seq2seq_attention.START), targets[:, :-1]), dim=1)
    fed = torch.stack([arguments[0][:, :8] for arguments, _ in calls], dim=1)
    assert torch.equal(fed, model.embedding(given))
    targets[:, 3] = 20
    after = model(sources, targets)
    assert torch.equal(after[:, :4], before[:, :4])
    assert not torch.allclose(after[:, 4], before[:, 4])


def test_padding_of_the_source_changes_nothing(seq2seq_attention, translator):
    model, sources, targets = translator
    wanted = model(sources, targets)
    padded = nn.functional.pad(sources, (0, 4), value=seq2seq_attention.PADDING)
    assert torch.allclose(model(padded, targets), wanted, atol=1e-6)


def test_loss_ignores_the_targets_padding(seq2seq_attention):
    training = seq2seq_attention.make(6, 10, "cpu", **SMALL, dropout=0.0)
    calls = watch(training.model)
    [loss] = run(training, 1)
    [((_, targets), logits)] = calls
    real = targets != seq2seq_attention.PADDING
    assert not real.all()
    assert loss == pytest.approx(nn.functional.cross_entropy(logits[real], targets[real]).item())


# amp_accumulation


def test_accumulated_gradient_is_the_larger_batchs(amp_accumulation):
    settings = {"dtype": "float32", "clip": math.inf, "num_workers": 0, "learning_rate": 0.0}
    training = amp_accumulation.make(3, 8, "cpu", **SMALL, accumulate=4, **settings)
    calls, model = watch(training.model), training.model
    targets, kept = [], nn.functional.cross_entropy
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "cross_entropy", lambda x, y: targets.append(y) or kept(x, y))
        [loss] = run(training, 1)
    accumulated = gradients(model)
    inputs = torch.cat([given[0] for given, _ in calls])
    assert inputs.shape == (12, 8)
    model.zero_grad()
    whole = kept(model(inputs).flatten(0, 1), torch.cat(targets))
    whole.backward()
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    for name, wanted in gradients(model).items():
        assert torch.allclose(accumulated[name], wanted, atol=1e-6), name


@pytest.mark.parametrize(
    ("asked", "ran"),
    [(None, torch.bfloat16), ("float16", torch.float16), ("float32", torch.float32)],
)
def test_products_run_in_the_precision_asked_for(amp_accumulation, asked, ran):
    training = amp_accumulation.make(2, 4, "cpu", **SMALL, dtype=asked, num_workers=0)
    calls = watch(training.model.output)
    run(training, 1)
    assert {logits.dtype for _, logits in calls} == {ran}
    assert {weight.dtype for weight in training.model.parameters()} == {torch.float32}


def test_scaled_gradient_is_unscaled_before_it_is_clipped(amp_accumulation):
    """Clipped while it is scaled, it would be left 65536 times too small."""
    settings = {"dtype": "float16", "clip": 0.01, "num_workers": 0}
    training = amp_accumulation.make(4, 6, "cpu", **SMALL, **settings)
    run(training, 1)
    assert norm(training.model) == pytest.approx(0.01, rel=1e-3)


def test_schedule_rises_and_falls(amp_accumulation):
    training = amp_accumulation.make(
        2, 4, "cpu", **SMALL, num_workers=0, accumulate=1, learning_rate=0.5, warmup=4
    )
    rates = []
    for _ in range(16):
        rates.append(training.optimizer.param_groups[0]["lr"])
        run(training, 1)
    assert rates[:4] == pytest.approx([0.125, 0.25, 0.375, 0.5])
    assert rates[15] == pytest.approx(0.25)
    assert rates[3:] == sorted(rates[3:], reverse=True)


def test_a_step_that_overflows_moves_neither_weights_nor_schedule(amp_accumulation):
    training = amp_accumulation.make(2, 4, "cpu", **SMALL, dtype="float16", num_workers=0)
    weights = [weight.detach().clone() for weight in training.model.parameters()]
    rate = training.optimizer.param_groups[0]["lr"]
    hook = training.model.output.weight.register_hook(lambda grad: grad * math.inf)
    run(training, 1)
    assert training.optimizer.param_groups[0]["lr"] == rate
    for before, after in zip(weights, training.model.parameters(), strict=True):
        assert torch.equal(before, after)
    hook.remove()
    run(training, 1)
    assert training.optimizer.param_groups[0]["lr"] > rate


def test_worker_processes_cut_the_windows_and_end_with_the_training(amp_accumulation):
    before = set(psutil.Process().children())
    training = amp_accumulation.make(2, 4, "cpu", **SMALL, accumulate=1)
    calls = watch(training.model)
    run(training, 3)
    workers = set(psutil.Process().children()) - before
    assert len(workers) == 2
    assert all(given[0].is_shared() for given, _ in calls)
    del training, calls
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


def test_windows_are_the_text_each_letter_with_its_next(amp_accumulation):
    windows = amp_accumulation.Windows(torch.arange(50, dtype=torch.uint8), 1, 3)
    assert len(windows) == 16
    for index in range(len(windows)):
        inputs, targets = windows[index]
        assert inputs.tolist() == list(range(3 * index, 3 * index + 3))
        assert targets.tolist() == list(range(3 * index + 1, 3 * index + 4))
    assert len(amp_accumulation.Windows(torch.arange(50, dtype=torch.uint8), 4, 10)) >= 64
