"""The three passes on the real CPU: what they find, checked against the tensors and the kernel."""

from __future__ import annotations

import math

import pytest

from conftest import FACTORIES
from processor import lacks_bf16_lstm
from rnnprof.engine.supervisor import Answer, Supervisor
from rnnprof.outcomes import classify
from rnnprof.protocol import Task
from rnnprof.runfile.observations import BREAKDOWN_PARTS
from rnnprof.runfile.points import Outcome, Point
from rnnprof.runfile.study import Study
from rnnprof.workload import FactorySource, Workload

GIB = 1 << 30
MIB = 1 << 20


def ask(supervisor: Supervisor, do: str, **fields: object) -> Answer:
    defaults = {"limit_bytes": GIB, "guard_bytes": 4 * GIB}
    point = Point(fields.pop("batch", 16), fields.pop("time_steps", 32))  # type: ignore[arg-type]
    known = {"do": do, "workload": Workload(), "point": point, **defaults, **fields}
    return supervisor.ask(Task(**known), 120)


def ask_factory(
    supervisor: Supervisor, do: str, function: str, study: Study | None = None, **args: object
) -> Answer:
    source = FactorySource(f"faulty.py:{function}", dict(args))
    return ask(
        supervisor,
        do,
        workload=Workload(cell=None, factory=source),
        factory_path=f"{FACTORIES}:{function}",
        batch=4,
        time_steps=4,
        point_seconds=0.05,
        study=study,
    )


@pytest.mark.slow
def test_a_compiled_loop_is_one_graph(supervisor: Supervisor) -> None:
    workload = Workload(impl="loop", input_size=4, hidden_size=4, compile=True)
    answer = ask(supervisor, "memory", workload=workload, batch=2, time_steps=2)
    assert answer.evidence is None
    assert answer.findings["graphs_compiled"] == 1


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn-tanh", "rnn-relu"])
@pytest.mark.parametrize("size", [(16, 32, 256), (8, 64, 128)])
def test_the_breakdown_sums_to_the_peak(
    supervisor: Supervisor, cell: str, size: tuple[int, int, int]
) -> None:
    batch, time_steps, hidden = size
    answer = ask(
        supervisor,
        "memory",
        workload=Workload(cell=cell, hidden_size=hidden),
        batch=batch,
        time_steps=time_steps,
    )
    found = answer.findings
    breakdown = found["breakdown"]
    assert breakdown is not None, found["breakdown_reason"]
    assert sum(breakdown[part] for part in BREAKDOWN_PARTS) == found["peak_allocated_bytes"]
    assert all(breakdown[part] >= 0 for part in BREAKDOWN_PARTS)
    gates = {"lstm": 4, "gru": 3}.get(cell, 1)
    weights = gates * hidden * (256 + hidden + 2) * 4
    assert breakdown["weights"] == weights
    assert found["model_bytes"]["gradients"] == weights
    # Adam keeps two moments and a step counter of 4 bytes for each of the 4 parameters
    assert (
        breakdown["optimizer_state"] == found["model_bytes"]["optimizer_state"] == 2 * weights + 16
    )
    assert breakdown["input"] == batch * time_steps * 256 * 4
    assert found["net_bytes_per_step"] == 0
    assert found["optimizer_steps"] == 3


def test_what_really_ran_is_recorded(supervisor: Supervisor) -> None:
    fused = ask(supervisor, "memory", workload=Workload(cell="lstm")).findings
    native = ask(supervisor, "memory", workload=Workload(cell="gru")).findings
    assert (fused["implementation"], native["implementation"]) == ("fused", "native")
    assert "aten::mkldnn_rnn_layer" in fused["ops"]
    none = ask_factory(supervisor, "memory", "make").findings
    assert none["implementation"] is None
    assert none["implementation_reason"]


@pytest.mark.parametrize("optimizer", ["none", "sgd", "adam", "adamw"])
def test_optimizer_state_by_optimizer(supervisor: Supervisor, optimizer: str) -> None:
    found = ask(supervisor, "memory", workload=Workload(optimizer=optimizer)).findings
    weights = found["model_bytes"]["weights"]
    expected = 2 * weights + 16 if optimizer.startswith("adam") else 0
    assert found["model_bytes"]["optimizer_state"] == expected
    assert found["breakdown"] is not None, found["breakdown_reason"]


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn-tanh"])
@pytest.mark.parametrize("size", [(32, 32), (8, 32)])
def test_the_limit_is_exact(supervisor: Supervisor, cell: str, size: tuple[int, int]) -> None:
    """What a pass needed plus 1 MiB fits; 95% of it does not."""
    shape = {"workload": Workload(cell=cell), "batch": size[0], "time_steps": size[1]}
    free = ask(supervisor, "fit", **shape)
    needed = free.findings["peak_charged_bytes"]
    assert isinstance(needed, int), free.findings["peak_charged_reason"]
    enough = ask(supervisor, "fit", limit_bytes=needed + MIB, **shape)
    assert enough.evidence is None
    assert enough.findings["train_steps_run"] == 2
    short = ask(supervisor, "fit", limit_bytes=int(0.95 * needed), **shape)
    assert short.evidence is not None
    verdict = classify(short.evidence)
    assert verdict.outcome is Outcome.OOM
    # oneDNN does not say how much it was refused; on some processors it asks for more than tensors
    asked_by_library = "execute a primitive" in (short.evidence.message or "")
    assert asked_by_library or verdict.requested_bytes is not None
    assert short.evidence.charged_bytes is not None
    assert short.evidence.charged_bytes <= int(0.95 * needed)


def test_a_limit_below_the_weights_is_an_oom_in_build(supervisor: Supervisor) -> None:
    answer = ask(supervisor, "fit", limit_bytes=4 * MIB)
    assert answer.evidence is not None
    assert classify(answer.evidence).outcome is Outcome.OOM
    assert answer.evidence.phase == "build"


def test_what_fits_in_less_than_a_limit_that_the_machine_has_lost_fits(
    supervisor: Supervisor,
) -> None:
    assert ask(supervisor, "fit", limit_bytes=1 << 50).evidence is None


def test_the_process_peak_covers_the_allocators(supervisor: Supervisor) -> None:
    fit = ask(supervisor, "fit", batch=32, time_steps=64).findings
    memory = ask(supervisor, "memory", batch=32, time_steps=64).findings
    assert fit["peak_process_bytes"] > 100 * MIB
    # the counted address space holds every tensor, and little besides
    assert memory["peak_allocated_bytes"] <= fit["peak_charged_bytes"]
    assert fit["peak_charged_bytes"] < 1.1 * memory["peak_allocated_bytes"]


@pytest.mark.alone
def test_timing_takes_enough_samples_and_phases(supervisor: Supervisor) -> None:
    found = ask(
        supervisor,
        "timing",
        workload=Workload(hidden_size=64),
        batch=4,
        time_steps=16,
        point_seconds=0.5,
    ).findings
    samples = found["samples_s"]
    assert len(samples) >= 10
    assert len(found["warmup_samples_s"]) >= 3
    assert all(sample > 0 for sample in samples)
    assert set(found["phase_samples_s"]) == {"data", "forward", "backward", "optimizer", "other"}
    whole = found["phase_step_samples_s"]
    for index, seconds in enumerate(whole):
        parts = sum(values[index] for values in found["phase_samples_s"].values())
        assert math.isclose(parts, seconds, rel_tol=1e-6)
    assert found["conditions"]["cpu_own_s"] > 0


def test_a_budget_that_is_too_short_is_said(supervisor: Supervisor) -> None:
    found = ask(supervisor, "timing", batch=16, time_steps=32, point_seconds=0.001).findings
    assert found["converged"] is False
    assert len(found["samples_s"]) == 3


def test_equal_seeds_give_equal_training(supervisor: Supervisor) -> None:
    losses = [ask(supervisor, "fit", seed=seed).findings["loss"] for seed in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize("do", ["fit", "memory", "timing"])
@pytest.mark.parametrize("function", ["make", "short", "bare", "accumulating"])
def test_every_form_of_factory(supervisor: Supervisor, do: str, function: str) -> None:
    answer = ask_factory(supervisor, do, function)
    assert answer.evidence is None, answer.evidence


def test_a_factory_without_model_has_no_breakdown(supervisor: Supervisor) -> None:
    found = ask_factory(supervisor, "memory", "bare").findings
    assert found["breakdown"] is None
    assert "rnnprof.Training" in found["breakdown_reason"]
    assert found["peak_allocated_bytes"] > 0


def test_accumulation_counts_its_sequences_and_sums_its_phases(supervisor: Supervisor) -> None:
    timing = ask_factory(supervisor, "timing", "accumulating").findings
    assert timing["sequences_per_step"] == 8
    memory = ask_factory(supervisor, "memory", "accumulating").findings
    assert memory["breakdown"] is not None, memory["breakdown_reason"]


def test_training_to_a_target_counts_them_too(supervisor: Supervisor) -> None:
    study = Study(target_loss=1e-30, budget_s=0.01, evaluate_every=5)
    found = ask_factory(supervisor, "training", "accumulating", study=study).findings
    assert found["sequences"] == 8 * found["train_steps"] > 0


def test_a_leak_is_told(supervisor: Supervisor) -> None:
    found = ask_factory(supervisor, "memory", "leaking").findings
    assert found["net_bytes_per_step"] == 1024 * 8 * 4


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("nan", "the loss is nan"),
        ("vector", "not a scalar"),
        ("none", "not a scalar but a NoneType"),
    ],
)
def test_an_odd_loss_is_measured_with_a_warning(
    supervisor: Supervisor, loss: str, words: str
) -> None:
    answer = ask_factory(supervisor, "fit", "make", loss=loss)
    assert answer.evidence is None
    assert answer.findings["loss"] is None
    assert any(words in text for text in answer.findings["warnings"])


def test_a_vector_loss_of_the_short_form_is_trained_on(supervisor: Supervisor) -> None:
    answer = ask_factory(supervisor, "fit", "short", vector=True)
    assert answer.evidence is None
    assert any("not a scalar" in text for text in answer.findings["warnings"])


def test_a_factory_is_not_called_to_warm_up(supervisor: Supervisor) -> None:
    answer = ask_factory(supervisor, "fit", "needs_even_batch")  # it refuses B=2
    assert answer.evidence is None
    assert answer.findings["baseline_note"] is None


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("returns_module", "returned a module alone"),
        ("returns_none", "returned None"),
        ("wrong_phase", "phase('fwd') is not one of data, forward"),
        ("not_there", "has no function 'not_there'; it has sigkill"),
        ("not_a_function", "not_a_function is an int, not a function"),
    ],
)
def test_a_factory_outside_the_protocol_is_the_users_fault(
    supervisor: Supervisor, function: str, words: str
) -> None:
    answer = ask_factory(supervisor, "check", function)
    assert answer.bad_factory
    assert answer.evidence is not None
    assert words in (answer.evidence.message or "")


def test_an_error_names_the_users_line(supervisor: Supervisor) -> None:
    answer = ask_factory(supervisor, "fit", "make", fault="error", where="forward", at_batch=4)
    assert answer.evidence is not None
    assert "(at faulty.py:" in (answer.evidence.message or "")


def test_the_native_layer_runs_without_onednn(supervisor: Supervisor) -> None:
    found = ask(supervisor, "memory", workload=Workload(impl="native", hidden_size=64)).findings
    assert found["implementation"] == "native"
    assert "aten::mkldnn_rnn_layer" not in found["ops"]
    loop = ask(supervisor, "memory", workload=Workload(impl="loop", hidden_size=64)).findings
    assert loop["implementation"] == "loop"
    assert loop["breakdown"] is not None, loop["breakdown_reason"]


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_autocast_copies_weights_and_the_breakdown_names_them(
    supervisor: Supervisor, cell: str
) -> None:
    workload = Workload(cell=cell, hidden_size=64, dtype="amp-bf16", optimizer="none")
    answer = ask(supervisor, "memory", workload=workload)
    if cell == "lstm" and (reason := lacks_bf16_lstm()):
        assert answer.evidence is not None
        assert classify(answer.evidence).outcome is Outcome.UNSUPPORTED
        pytest.skip(reason)
    found = answer.findings
    breakdown = found["breakdown"]
    assert breakdown is not None, found["breakdown_reason"]
    # a copy of 2 bytes for every 4, at most, and of the two matrices at least
    assert 0 < breakdown["weight_casts"] <= breakdown["weights"] // 2
    plain = ask(supervisor, "memory", workload=Workload(cell=cell, hidden_size=64)).findings
    assert plain["breakdown"]["weight_casts"] == 0


def test_a_scaler_that_overflows_is_waited_for(supervisor: Supervisor) -> None:
    workload = Workload(cell="gru", hidden_size=16, dtype="amp-fp16")
    found = ask(supervisor, "memory", workload=workload).findings
    assert found["optimizer_steps"] >= 2
    assert found["train_steps_run"] >= 3


def test_inference_needs_less_than_training(supervisor: Supervisor) -> None:
    train = ask(supervisor, "memory", workload=Workload()).findings
    inference = ask(supervisor, "memory", workload=Workload(mode="inference")).findings
    assert inference["peak_allocated_bytes"] < train["peak_allocated_bytes"]
    assert inference["breakdown"]["gradients"] == inference["breakdown"]["optimizer_state"] == 0
    assert set(inference["phase_peak_bytes"]) == {"build", "data", "forward"}


@pytest.mark.parametrize(
    ("workload", "words"),
    [
        (Workload(dtype="tf32"), "a CPU has none"),
        (Workload(cell="gru", proj_size=4), "only supported for LSTM"),
    ],
)
def test_what_is_not_supported_is_an_outcome(
    supervisor: Supervisor, workload: Workload, words: str
) -> None:
    answer = ask(supervisor, "fit", workload=workload)
    assert answer.evidence is not None
    verdict = classify(answer.evidence)
    assert verdict.outcome is Outcome.UNSUPPORTED
    assert words in verdict.reason


def test_hello_tells_the_flags_in_force(supervisor: Supervisor) -> None:
    facts = ask(supervisor, "describe", workload=Workload(dtype="fp32-ieee")).findings["facts"]
    assert facts["float32_matmul_precision"] == "highest"
    assert facts["cudnn_allow_tf32"] is False
    default = ask(supervisor, "describe").findings["facts"]
    assert default["cudnn_allow_tf32"] is True


def test_a_fit_waits_for_the_optimizer_too(supervisor: Supervisor) -> None:
    """A scaler that overflows skips steps: without its state the peak would be too low."""
    workload = Workload(cell="gru", hidden_size=16, dtype="amp-fp16")
    skipping = ask(supervisor, "fit", workload=workload).findings
    plain = ask(supervisor, "fit", workload=Workload(cell="gru", hidden_size=16)).findings
    assert plain["train_steps_run"] == 2
    assert skipping["train_steps_run"] >= 2
    assert skipping["warnings"] == []


def test_two_implementations_in_one_model_are_mixed(supervisor: Supervisor) -> None:
    found = ask_factory(supervisor, "memory", "two_kinds").findings
    assert found["implementation"] == "mixed"
    assert {"aten::gru", "aten::lstm", "aten::mkldnn_rnn_layer"} <= set(found["ops"])
