"""The simulated GPU, built once for a fake torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rnnprof.simulate.library import SimulatedLibrary, build
from simulate.compiled import COMPILER, fake_torch
from simulate.in_child import Child


@pytest.fixture(scope="session")
def torch_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if COMPILER is None:
        pytest.skip("no C compiler")
    return fake_torch(tmp_path_factory.mktemp("fake"))


@pytest.fixture(scope="session")
def simulated(torch_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> SimulatedLibrary:
    return build(torch_folder, tmp_path_factory.mktemp("cache"))


@pytest.fixture
def child(simulated: SimulatedLibrary) -> Callable[..., object]:
    return Child(simulated)
