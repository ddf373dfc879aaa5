"""The options that stand for what a run file holds, and the values that each takes.

The command line's own table is above this room; a test holds the two together.
"""

from __future__ import annotations

import math
from typing import Final

ABOVE_ZERO: Final = math.nextafter(0.0, 1.0)
BELOW_ONE: Final = math.nextafter(1.0, 0.0)
MOST_SIZE: Final = (1 << 31) - 1
MOST_WHOLE: Final = (1 << 63) - 1
MOST_NUMBER: Final = 1_000_000

SETTING_FLAGS: Final = {
    "processes": "--processes", "timeout_s": "--timeout", "seed": "--seed",
    "confirm_steps": "--confirm-steps", "through": "--through", "confirm": "--confirm",
    "granularity": "--granularity", "at_most": "--at-most", "headroom_ratio": "--headroom",
    "reserve_bytes": "--reserve", "lengths": "--lengths",
}  # fmt: skip
"""Flags whose value is the setting's own."""

EFFECTIVE: Final = {
    "profile": tuple(SETTING_FLAGS),
    "max-batch": tuple(name for name in SETTING_FLAGS if name != "processes"),
    "trainability": ("timeout_s", "seed"),
}
"""The settings that change what a command does."""

SWITCHES: Final = {
    "prune": ("--no-prune", False), "certify": ("--no-certify", False),
    "fast": ("--every-breakdown", False),
}  # fmt: skip
"""Flags of ``profile`` without a value, and the setting's value that each stands for."""

STUDY_FLAGS: Final = {
    "train_steps": "--train-steps", "draws": "--draws", "small_batch": "--small-batch",
    "parts": "--parts", "reach_ratio": "--reach-at", "learning_rate": "--learning-rate",
    "rate_rule": "--rate-rule", "rate_batch": "--rate-batch", "clip_norm": "--clip",
    "target_loss": "--target", "seeds": "--seeds", "budget_s": "--train-seconds",
    "evaluate_every": "--evaluate-every",
}  # fmt: skip

_COUNTS: Final = ("--through", "--draws", "--small-batch", "--rate-batch", "--seeds",
                  "--evaluate-every")  # fmt: skip
_DURATIONS: Final = ("--timeout", "--point-seconds", "--learning-rate", "--clip", "--target",
                     "--train-seconds")  # fmt: skip

RANGES: Final[dict[str, tuple[float, float]]] = {
    **dict.fromkeys(_COUNTS, (1, MOST_NUMBER)),
    **dict.fromkeys(_DURATIONS, (ABOVE_ZERO, math.inf)),
    **dict.fromkeys(("--memory-limit", "--gpu-memory", "--reserve"), (1, MOST_WHOLE)),
    **dict.fromkeys(("--input-size", "--hidden-size", "--at-most"), (1, MOST_SIZE)),
    **dict.fromkeys(("--processes", "--confirm"), (1, 100)),
    **dict.fromkeys(("--headroom", "--reach-at", "--dropout"), (0, BELOW_ONE)),
    "--layers": (1, 1024),
    "--proj-size": (0, MOST_SIZE),
    "--seed": (0, MOST_WHOLE),
    "--confirm-steps": (1, 10_000),
    "--granularity": (1, 65536),
    "--train-steps": (0, MOST_NUMBER),
    "--parts": (2, MOST_NUMBER),
}
"""The least and the most that an option takes."""
