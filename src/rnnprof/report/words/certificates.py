"""Sentences of the largest batch at each T: what is proven, or why nothing is."""

from __future__ import annotations

from rnnprof.maxbatch.certify import Proof
from rnnprof.report.model import RunReport, SeenEdge
from rnnprof.report.words.phrases import because, training_steps
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Outcome
from rnnprof.units import format_bytes


def limit_in_words(report: RunReport) -> str:
    """What training may take, and what of the limit is not for it."""
    words = f"limit {format_bytes(report.limit_bytes)}"
    reserve_bytes = report.run.limit_bytes - report.limit_bytes
    return f"{words}, {format_bytes(reserve_bytes)} set aside" if reserve_bytes else words


def status_in_words(status: EdgeStatus) -> str:
    """``not stationary``."""
    return status.value.replace("_", " ")


def edge_in_words(edge: SeenEdge) -> str:
    """``64 fits, 128 is out of memory``; what was seen, and no more than that."""
    if edge.certificate is not None:
        return certificate_in_words(edge.certificate)
    fails = f"{edge.fails.point.batch} is out of memory" if edge.fails else ""
    if edge.fails and edge.fails.outcome is Outcome.IMPLIED_OOM:
        fails += " (implied)"
    if edge.fits is None:
        return f"none fits, {fails}" if fails else "nothing was measured"
    if edge.fails and edge.fails.point.batch < edge.fits:
        return f"{edge.fits} fits, yet {fails}"
    return f"{edge.fits} fits, {fails or _unknown_above(edge)}"


def certificate_in_words(certificate: Proof, *, is_brief: bool = False) -> str:
    """``140 is the largest over 10 training steps, 141 is out of memory``, or why there is none.

    Args:
        is_brief: over how many training steps is said elsewhere.
    """
    batch, unit, status = certificate.batch, certificate.granularity, certificate.status
    reason = because(certificate.reason)
    over = ""
    if certificate.horizon is not None and not is_brief:
        over = f" over {training_steps(certificate.horizon)}"
    if status is EdgeStatus.CERTIFIED and batch is not None:
        return f"{batch} is the largest{over}, {batch + unit} is out of memory{reason}"
    if status is EdgeStatus.CAPPED:
        return f"{batch} fits{over}, the largest tried{reason}"
    if status is EdgeStatus.NOTHING_FITS:
        return f"nothing fits{reason}"
    return f"{status_in_words(status)}{reason}"


def unusable_in_words(certificate: Proof) -> str:
    """``not stationary: each training step leaves 1.61 MiB; B=8 lasts about 58 training steps``."""
    return f"{status_in_words(certificate.status)}{because(certificate.reason)}"


def _unknown_above(edge: SeenEdge) -> str:
    return "the largest tried" if edge.is_largest else "nothing larger was measured"
