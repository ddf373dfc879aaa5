"""What a stretch between two modules or two passes is, by its neighbours."""

from __future__ import annotations

import pytest

from rnnprof.worker.passes.flat_phases import phase_names


@pytest.mark.parametrize(
    ("entered", "names"),
    [
        ("data forward backward optimizer", "data forward backward optimizer"),
        ("data forward other forward other backward other optimizer",
         "data forward forward forward forward backward other optimizer"),
        ("data forward backward other other forward backward optimizer",
         "data forward backward data data forward backward optimizer"),
        ("optimizer other forward backward optimizer",
         "optimizer data forward backward optimizer"),
        ("data forward other", "data forward other"),
        ("data backward other", "data backward other"),
        ("other", "other"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_between_two_phases_follows_from_both(entered: str, names: str) -> None:
    assert phase_names(entered.split()) == names.split()
