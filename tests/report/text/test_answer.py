"""The answer in words, to the letter, and on a terminal of eighty columns."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest

from fakes import HEADER, a_request
from report_samples import Said, report_from
from rnnprof.advice.advise import Advice, LargestSafe
from rnnprof.advice.recommendation import Recommendation
from rnnprof.device.malloc import as_shell
from rnnprof.maxbatch.certify import Proof
from rnnprof.report.text.answer import advice_in_words, frontier_in_words
from rnnprof.report.text.command import deciding_command
from rnnprof.report.words.recommendation import at_each_length, cell_of, in_words
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Grid
from rnnprof.runfile.records import Run

MIB = 1 << 20

RUN = Run(HEADER, (a_request(Grid((), (128,))),))


def certificate(status: EdgeStatus, batch: int | None = 140, **changes: object) -> Proof:
    known: dict[str, object] = {"time_steps": 128, "granularity": 1, "at_most": 4096}
    return Proof(status=status, batch=batch, **(known | changes))  # type: ignore[arg-type]


CERTIFIED = certificate(EdgeStatus.CERTIFIED)


def line(certificate: Proof, safe: LargestSafe | None = None) -> str:
    advice = Advice(largest_safe=(safe,) if safe else ())
    said = frontier_in_words(report_from((RUN, {}), [certificate], advice=advice)).splitlines()
    assert max(map(len, said)) <= 80
    return " ".join(text.strip() for text in said)


@pytest.mark.parametrize(
    ("certificate", "text"),
    [
        (CERTIFIED, "T=128: 140 is the largest, 141 is out of memory"),
        (
            certificate(EdgeStatus.CERTIFIED, 128, granularity=64),
            "T=128: 128 is the largest, 192 is out of memory",
        ),
        (
            certificate(EdgeStatus.CERTIFIED, reason=Said("B=141 fits as well")),
            "T=128: 140 is the largest, 141 is out of memory: B=141 fits as well",
        ),
        (
            certificate(EdgeStatus.CAPPED, 4096),
            "T=128: 4096 fits, the largest tried",
        ),
        (
            certificate(EdgeStatus.NOTHING_FITS, None, reason=Said("B=1 is out of memory")),
            "T=128: nothing fits: B=1 is out of memory",
        ),
        (
            certificate(EdgeStatus.UNSUPPORTED, None, reason=Said("not supported in forward")),
            "T=128: unsupported: not supported in forward",
        ),
        (
            certificate(EdgeStatus.NON_MONOTONE, reason=Said("B=30 fits although B=20 did not")),
            "T=128: non monotone: B=30 fits although B=20 did not",
        ),
        (
            certificate(EdgeStatus.INDETERMINATE, reason=Said("at B=9: it died")),
            "T=128: indeterminate: at B=9: it died",
        ),
    ],
)
def test_each_status_in_a_line(certificate: Proof, text: str) -> None:
    assert line(certificate) == text


@pytest.mark.parametrize(
    ("safe", "text"),
    [
        (
            LargestSafe(128, 140, 132, True, 48 * MIB),
            "; largest safe batch 132 (48.0 MiB, measured)",
        ),
        (
            LargestSafe(128, 140, 132, False, 48 * MIB),
            "; largest safe batch 132 (48.0 MiB, predicted)",
        ),
        (
            LargestSafe(128, 140, 132, False, 48 * MIB, 4),
            "; largest safe batch 132 (48.0 MiB, predicted), 4 steps of accumulation",
        ),
        (
            LargestSafe(128, 140, 132, True, 48 * MIB, 1),
            "; largest safe batch 132 (48.0 MiB, measured)",
        ),
        (LargestSafe(128, 140, None, False, None), "; no batch is known to leave 5%"),
        (LargestSafe(128, None, None, False, None), ""),
        (LargestSafe(64, 140, 132, True, 48 * MIB), ""),
    ],
)
def test_the_largest_safe_batch_stands_behind_its_edge(safe: LargestSafe, text: str) -> None:
    edge = "T=128: 140 is the largest, 141 is out of memory"
    assert line(CERTIFIED, safe) == f"{edge}{text}"


def test_one_line_for_each_length() -> None:
    frontier = [certificate(EdgeStatus.CERTIFIED, 500, time_steps=16), CERTIFIED]
    advice = Advice(largest_safe=(LargestSafe(128, 140, 133, True, MIB),))
    assert frontier_in_words(report_from((RUN, {}), frontier, advice=advice)).splitlines() == [
        "T=16: 500 is the largest, 501 is out of memory",
        f"{line(CERTIFIED)};",
        "  largest safe batch 133 (1.00 MiB, measured)",
    ]
    assert frontier_in_words(report_from((RUN, {}), advice=advice)) == ""


DECIDED = Recommendation(16, 32, reasons=(Said("it is fast"), Said("it is small")))
TIED = Recommendation(64, None, (8, 16), (8, 16, 32), reasons=(Said("times are known to 3%"),))
NOTHING = Recommendation(128, None, reasons=(Said("nothing fits with headroom"),))


def advised(advice: Advice) -> str:
    return advice_in_words(report_from((RUN, {}), advice=advice))


def test_the_advice_at_each_t_with_its_reasons() -> None:
    advice = Advice(
        (DECIDED, TIED, NOTHING), reasons=(Said("T=256 leaks"),), unknown=(Said("the rest"),)
    )
    command = deciding_command(report_from((RUN, {}), advice=advice))
    assert command.startswith("rnnprof profile ")
    assert advised(advice).splitlines() == [
        "T=16: train with B=32",
        "  - it is fast",
        "  - it is small",
        "T=64: memory is decided, speed is not",
        "  - times are known to 3%",
        "T=128: nothing to recommend",
        "  - nothing fits with headroom",
        "Note:",
        "  - T=256 leaks",
        "To decide it:",
        *command.splitlines(),
        "Not known from this run:",
        "  - the rest",
    ]


def test_without_advice_the_reason_why() -> None:
    assert advised(Advice(reasons=(Said("nothing was timed"),))) == (
        "Train with: not known from this run\n  - nothing was timed"
    )


def test_what_is_predicted_stands_apart() -> None:
    text = advised(Advice((DECIDED,), predictions=(Said("under 1 GiB about 5"),)))
    assert text.splitlines() == [
        "T=16: train with B=32",
        "  - it is fast",
        "  - it is small",
        "Predicted, not measured:",
        "  - under 1 GiB about 5",
    ]


def test_no_line_is_longer_than_a_terminal() -> None:
    reason = "B=8 or B=16 is the smallest batch within 5% of the best: times are known to 3%, " * 3
    one = replace(TIED, reasons=(Said(reason),))
    lines = advised(
        Advice((one,), reasons=(Said(reason),), predictions=(Said(reason),))
    ).splitlines()
    assert max(map(len, lines)) <= 80
    assert [text[:4] for text in lines[1:4]] == ["  - ", "    ", "    "]
    assert " ".join(text.strip() for text in lines[1:4]).startswith(f"- {reason[:150]}")


# the heap of a proof


def test_a_proof_on_the_cpu_ends_with_the_heap_that_it_holds_under() -> None:
    proven = replace(CERTIFIED, horizon=10)
    lines = as_text(proven, {"device": "cpu", "system": "Linux"})
    assert lines[-4].startswith("Proven over 10 training steps")
    assert lines[-2:] == [
        "  MALLOC_ARENA_MAX=1 MALLOC_MMAP_THRESHOLD_=16384 MALLOC_TRIM_THRESHOLD_=4096 \\",
        "  MALLOC_TOP_PAD_=0",
    ]
    head = "The limit counts address space. To train within it, put before your command:"
    assert lines[-3] == head
    assert max(map(len, lines[-3:])) <= 80
    assert shlex.split("\n".join(lines[-2:]).replace("\\\n", "")) == as_shell().split()


@pytest.mark.parametrize(
    ("environment", "horizon"),
    [
        ({"device": "cuda"}, 10),
        ({"device": "cpu", "system": "Darwin"}, 10),
        ({"device": "cpu"}, None),
    ],
)
def test_elsewhere_and_without_a_proof_no_heap_is_told(environment, horizon) -> None:
    lines = as_text(replace(CERTIFIED, horizon=horizon), environment)
    assert not [text for text in lines if "MALLOC" in text or "address space" in text]


def as_text(certificate: Proof, environment: dict[str, object]) -> list[str]:
    run = replace(RUN, header=replace(HEADER, environment=environment))
    return frontier_in_words(report_from((run, {}), [certificate], advice=Advice())).splitlines()


# every t in a line or a cell


@pytest.mark.parametrize(
    ("tied", "words"),
    [
        ((8, 16), "8 or 16"),
        ((8, 16, 32), "8, 16 or 32"),
        ((8, 16, 32, 64), "8 to 64"),
    ],
)
def test_tied_batches_in_words(tied: tuple[int, ...], words: str) -> None:
    each = replace(TIED, tied=tied)
    assert (in_words(tied), cell_of(each)) == (words, words)
    assert at_each_length(Advice((DECIDED, each, NOTHING))) == (
        f"T=16: B=32; T=64: B={words}, not decided; T=128: none"
    )


def test_a_cell_without_a_batch() -> None:
    assert [cell_of(each) for each in (None, NOTHING, DECIDED)] == ["-", "-", "32"]
    assert at_each_length(Advice()) == ""
