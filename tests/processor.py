"""What this processor's libraries can do, asked of them once: not every one has every kernel."""

from __future__ import annotations

from functools import cache

import torch


@cache
def lacks_bf16_lstm() -> str | None:
    """Why a fused LSTM under autocast to bf16 cannot train here; None where it can."""
    layer = torch.nn.LSTM(4, 8)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            output = layer(torch.zeros(3, 2, 4))[0]
        output.float().sum().backward()
    except RuntimeError as error:
        if "primitive descriptor" not in str(error):
            raise
        return "oneDNN has no bf16 LSTM for this processor"
    return None
