"""What is called verified has its evidence in the repository."""

from __future__ import annotations

from pathlib import Path

from rnnprof.device import verified
from rnnprof.device.verified import EvidencePack

ROOT = Path(__file__).parents[2]


def without_evidence(packs: tuple[EvidencePack, ...], root: Path) -> list[EvidencePack]:
    return [pack for pack in packs if not any((root / pack.folder).glob("*"))]


def test_every_pack_has_its_folder():
    assert without_evidence(verified.VERIFIED, ROOT) == []


def test_a_pack_without_its_folder_is_found(tmp_path):
    pack = EvidencePack("h200", "2026-11-23", "0123abc")
    assert without_evidence((pack,), tmp_path) == [pack]
    (tmp_path / "reports" / "h200" / "2026-11-23").mkdir(parents=True)
    assert without_evidence((pack,), tmp_path) == [pack]
    (tmp_path / "reports" / "h200" / "2026-11-23" / "run.jsonl").write_text("")
    assert without_evidence((pack,), tmp_path) == []
