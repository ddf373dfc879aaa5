"""The examples beside accelerate and Lightning run, and their answers are proven ones."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("peer", ["accelerate", "lightning"])
def test_largest_batch_takes_the_peers_place(peer: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed: pip install 'rnnprof[peers]'")
    path = EXAMPLES / f"with_{peer}.py"
    assert len(path.read_text().splitlines()) <= 60
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = re.search(r"largest batch (\d+), training with (\d+)", done.stdout)
    assert answer is not None, done.stdout
    batch, train_with = map(int, answer.groups())
    assert 0.9 * batch < train_with < batch
    assert f"batch {batch}: fits" in done.stdout
    assert f"batch {batch + 1}: out of memory" in done.stdout
