"""Which device a name means: torch's build, NVML's GPUs and CUDA_VISIBLE_DEVICES decide."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rnnprof.device.inspection import TorchFacts
from rnnprof.device.nvml import Gpu
from rnnprof.device.selection import Selected, find_place
from rnnprof.errors import BadInputError, NoDeviceError

CUDA_BUILD = TorchFacts(is_installed=True, version="2.11.0", cuda="13.0")
CPU_BUILD = TorchFacts(is_installed=True, version="2.11.0+cpu", cuda=None)
CARD = Gpu(0, "GPU-abc", "NVIDIA Fake", 16 << 30)


def place(
    text: str, torch: TorchFacts = CUDA_BUILD, gpus: Any = (CARD,), **environ: str
) -> Selected:
    nvml: Any = SimpleNamespace(gpus=lambda: gpus, close=lambda: None)
    opened = (None, "no driver") if gpus is None else (nvml, None)
    return find_place(text, lambda: torch, lambda: opened, environ)


def test_auto_is_a_card_where_torch_and_nvml_know_of_one() -> None:
    assert place("auto") == Selected("cuda")
    assert place("auto").kind == "cuda"


@pytest.mark.parametrize(
    ("torch", "gpus", "environ"),
    [
        (CPU_BUILD, (CARD,), {}),
        (CUDA_BUILD, None, {}),
        (CUDA_BUILD, (), {}),
        (CUDA_BUILD, (CARD,), {"CUDA_VISIBLE_DEVICES": ""}),
        (CUDA_BUILD, (CARD,), {"CUDA_VISIBLE_DEVICES": "-1"}),
    ],
)
def test_auto_is_the_cpu_otherwise(torch: TorchFacts, gpus: Any, environ: dict[str, str]) -> None:
    assert place("auto", torch, gpus, **environ) == Selected("cpu")


def test_names_and_uuids() -> None:
    assert place("cpu") == Selected("cpu")
    assert place("cuda") == Selected("cuda")
    assert place("cuda:3") == Selected("cuda:3")
    assert place("GPU-abc") == Selected("cuda", "GPU-abc")
    assert place("MIG-abc/1/0").uuid == "MIG-abc/1/0"


@pytest.mark.parametrize("text", ["cuda:", "cuda:x", "gpu", "tpu", "", "cuda:0 ", "gpu-a b"])
def test_what_is_no_device_is_told(text: str) -> None:
    with pytest.raises(BadInputError, match="write auto, cpu, cuda"):
        place(text)


@pytest.mark.parametrize("text", ["cuda", "cuda:1", "GPU-abc"])
def test_a_torch_without_cuda_is_told_before_it_is_imported(text: str) -> None:
    with pytest.raises(NoDeviceError, match=r"torch 2\.11\.0\+cpu is a build without CUDA"):
        place(text, CPU_BUILD)
