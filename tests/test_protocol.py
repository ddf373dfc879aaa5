"""The messages between parent, template and worker."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rnnprof.protocol import (
    Done,
    Exited,
    Fork,
    Forked,
    ForkFailed,
    PhaseEntered,
    Raised,
    Ready,
    Task,
    from_line,
    to_line,
)
from rnnprof.runfile.codec import DecodeError
from rnnprof.runfile.points import Point
from rnnprof.workload import FactorySource, Workload

FACTORY = Workload(cell=None, factory=FactorySource("train.py:make", {"width": 3}))

MESSAGES = [
    Ready("2.13.0", 1.5),
    Fork(3),
    Forked(3, 4321),
    ForkFailed(3, 11),
    Exited(3, None, 9),
    Task(do="describe", workload=Workload()),
    Task(
        do="fit",
        workload=FACTORY,
        point=Point(8, 16),
        factory_path="somewhere/train.py:make",
        limit_bytes=1 << 30,
        guard_bytes=1 << 31,
    ),
    PhaseEntered("forward"),
    Done({"samples_s": [0.5, 0.25], "loss": None}),
    Raised(
        "RuntimeError", "two\nlines \u2028 \udc80", "backward", 5, 6, True, {"train_steps_run": 1}
    ),
]

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(["kind", "worker", "pid", "findings", "phase", "error_type", "message"])
KINDS = st.sampled_from(["Done", "Raised", "Exited", "PhaseEntered", "Task"])


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_comes_back_from_its_line(message):
    line = to_line(message)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert from_line(line) == message


def test_a_number_that_json_has_not_is_never_sent():
    with pytest.raises(ValueError, match="JSON"):
        to_line(Done({"loss": float("nan")}))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "not JSON"),
        (b"Segmentation fault", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "not a message"),
        (b'{"findings":{}}', "not a message"),
        (b'{"kind":"Header"}', "not a message"),
        (b'{"kind":["Done"]}', "not a message"),
        (b'{"kind":"Exited","worker":"x"}', "Exited.worker: expected int"),
        (b'{"kind":"PhaseEntered"}', "PhaseEntered: object missing required field phase"),
        (b'{"kind":"Done","findings":[]}', "Done.findings: expected object"),
        (b'{"kind":"Done","findings":{"loss":NaN}}', "not JSON"),
        (b'{"kind":"Done","findings":{"loss":1e999}}', "number out of range"),
        (b"[" * 200_000, "not a message"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else "",
)
def test_what_is_no_message_is_told(line, message):
    with pytest.raises(DecodeError, match=message) as caught:
        from_line(line)
    assert len(str(caught.value)) < 200


def parsed(line: bytes) -> object:
    """The message in *line*, or None: any other exception would end the run with the worker."""
    try:
        return from_line(line)
    except DecodeError:
        return None


@given(st.binary(max_size=40))
def test_no_bytes_break_the_parent(line):
    assert parsed(line) is None


@example({"kind": [], "worker": 1})
@example({"kind": "Done", "findings": {"loss": float("inf")}})
@given(st.dictionaries(FIELDS, KINDS | JSON_VALUES))
def test_whatever_is_read_can_be_sent_on(body):
    message = parsed(json.dumps(body).encode())
    assert message is None or from_line(to_line(message)) == message
