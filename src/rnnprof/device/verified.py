"""The GPUs on which the CUDA code is proven: the evidence packs in the repository."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class EvidencePack:
    """Runs of the CUDA code on a real GPU, kept in ``reports/<gpu>/<date>/``.

    Attributes:
        gpu: name of the folder, such as ``h200``.
        date: of the runs, such as ``2026-11-23``.
        commit: the commit of rnnprof that was run.
    """

    gpu: str
    date: str
    commit: str

    @property
    def folder(self) -> str:
        """The pack's folder, from the root of the repository."""
        return f"reports/{self.gpu}/{self.date}"


VERIFIED: Final[tuple[EvidencePack, ...]] = ()
"""Empty until the code has run on a GPU; until then every use of it is marked unverified."""
