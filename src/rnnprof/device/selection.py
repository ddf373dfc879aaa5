"""Which device a name means, found without torch: the one that a worker will use."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from rnnprof.device.inspection import TorchFacts, installed_torch
from rnnprof.device.nvml import Nvml, open_nvml, visible_cards
from rnnprof.errors import BadInputError, NoDeviceError
from rnnprof.simulate.description import GpuDescription, describe_all

FORMS: Final = "auto, cpu, cuda, cuda:N or a GPU's UUID (GPU-...)"


@dataclass(frozen=True, slots=True)
class Selected:
    """A device by torch's name, and the GPU's UUID if that was given.

    Attributes:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        gpu: the description of a simulated GPU; None for a real device.
    """

    device: str
    uuid: str | None = None
    gpu: GpuDescription | None = None

    @property
    def kind(self) -> str:
        """``cpu`` or ``cuda``: decides defaults and file names."""
        return "cpu" if self.device == "cpu" else "cuda"


def find_place(
    text: str,
    torch: Callable[[], TorchFacts] = installed_torch,
    opener: Callable[[], tuple[Nvml | None, str | None]] = open_nvml,
    environ: Mapping[str, str] = os.environ,
) -> Selected:
    """The device that *text* names; ``auto`` is a GPU if torch and NVML can both use one.

    Raises:
        BadInputError: it names no device.
        NoDeviceError: a GPU is requested, and torch is a build without CUDA.
    """
    if text == "cpu":
        return Selected("cpu")
    if text == "auto":
        return Selected("cuda" if _has_gpu(torch, opener, environ) else "cpu")
    if not re.fullmatch(r"cuda(:\d+)?|(GPU|MIG)-[\w/-]+", text):
        raise BadInputError(f"--device {text}: write {FORMS}")
    facts = torch()
    if facts.is_installed and facts.cuda is None and facts.unknown is None:
        raise NoDeviceError(
            f"--device {text}: torch {facts.version} is a build without CUDA; install a CUDA "
            "build, or use --device cpu"
        )
    return Selected(text) if text.startswith("cuda") else Selected("cuda", text)


def simulated_places(text: str, device: str = "auto") -> tuple[Selected, ...]:
    """A device for each GPU that *text* describes, in the form of ``--simulate``.

    Raises:
        BadInputError: it describes none, or *device* names a device that is present.
    """
    if device not in ("auto", "cuda"):
        raise BadInputError(
            f"--simulate and --device {device} exclude each other: a simulated GPU is not a device "
            "of this machine"
        )
    return tuple(Selected("cuda", None, gpu) for gpu in describe_all(text))


def _has_gpu(
    torch: Callable[[], TorchFacts],
    opener: Callable[[], tuple[Nvml | None, str | None]],
    environ: Mapping[str, str],
) -> bool:
    if torch().cuda is None:
        return False
    nvml, _ = opener()
    if nvml is None:
        return False
    try:
        return bool(visible_cards(nvml.gpus(), environ.get("CUDA_VISIBLE_DEVICES")))
    finally:
        nvml.close()
