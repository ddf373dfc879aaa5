"""The campaign of TOML inputs: a short one, and that it finds a fault."""

from __future__ import annotations

import pytest

from campaigns.toml_inputs import READERS, attempt, campaign, planted


@pytest.mark.parametrize("name", READERS)
def test_a_valid_file_is_understood(name: str) -> None:
    reader = READERS[name]
    assert attempt(reader, lambda place: place.write_text(reader.valid)) is None


def test_a_few_inputs() -> None:
    assert campaign(60, seed=1).failures == {}


@pytest.mark.slow
def test_many_inputs() -> None:
    assert campaign(1500, seed=0).failures == {}


def test_a_planted_fault_is_found() -> None:
    with planted():
        assert campaign(120, seed=0).failures
