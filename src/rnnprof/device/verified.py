"""On which GPUs the CUDA code has been proven: the packs of evidence that the repository keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class EvidencePack:
    """Runs of the CUDA code on a real GPU, kept in ``reports/<gpu>/<date>/``.

    Attributes:
        gpu: name of the folder, as ``h200``.
        date: of the runs, as ``2026-11-23``.
        commit: of rnnprof, that was run.
    """

    gpu: str
    date: str
    commit: str

    @property
    def folder(self) -> str:
        """Where the pack stands, from the root of the repository."""
        return f"reports/{self.gpu}/{self.date}"


VERIFIED: Final[tuple[EvidencePack, ...]] = ()
"""Empty until the code has run on a GPU; until then every use of it is marked unverified."""
