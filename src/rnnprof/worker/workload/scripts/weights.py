"""What is known of weights: their size, and whether they have changed.

That is seen from a few of their values, read before each forward pass.  Some weights cannot be
read: those inside torch.func's transforms, and those of lazy modules before their first call.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import torch
from torch._C import _functorch as functorch

MOST_WEIGHTS: Final = 16
"""Parameters that are looked at: an update changes all that have a gradient."""

MOST_VALUES: Final = 8
"""Values at each end of a parameter; a gradient may be zero at some of them."""


UNREADABLE: Final = (NotImplementedError, RuntimeError, ValueError)
"""What torch raises where a tensor has no storage: sparse, opaque, or not initialised."""


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor that torch.func's transforms have wrapped."""
    while functorch.is_functorch_wrapped_tensor(tensor):
        tensor = functorch.get_unwrapped(tensor)
    return tensor


def size_of_all(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of all storages, each once; a tensor without one counts nothing."""
    storages = {}
    for tensor in tensors:
        with suppress(*UNREADABLE):
            storage = tensor.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
    return sum(storages.values())


def is_readable() -> bool:
    """Whether values can be read here; not within a transform of torch.func."""
    return functorch.peek_interpreter_stack() is None


def fingerprint(parameters: Iterable[torch.Tensor]) -> bytes:
    """Values of some parameters, as bytes: not-a-number is then equal to itself."""
    known = [each for each in parameters if each.requires_grad and not each.is_meta]
    chosen = known[:: max(1, len(known) // MOST_WEIGHTS)][:MOST_WEIGHTS]
    return b"".join(map(_ends, chosen))


def _ends(parameter: torch.Tensor) -> bytes:
    if parameter.layout is not torch.strided or torch.nn.parameter.is_lazy(parameter):
        return b""
    flat = parameter.detach().reshape(-1)
    ends = torch.cat([flat[:MOST_VALUES], flat[-MOST_VALUES:]])
    return ends.cpu().to(torch.float64).numpy().tobytes()
