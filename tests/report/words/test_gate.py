"""The sentences on the findings of a gate."""

from __future__ import annotations

import pytest

from rnnprof.compare.reasons import Affects, Difference, NoInterval, TooFewProcesses
from rnnprof.gate import reasons
from rnnprof.gate.reasons import (
    BaselineIsEmpty,
    BaselinePeakUnknown,
    BetweenMultiples,
    Comparable,
    DoesNotFit,
    EdgeNotSearched,
    Ended,
    FitsAboveOom,
    FitsWithoutHeadroom,
    FitsWithUnknownPeak,
    KeyDiffers,
    LargestBatch,
    MachineShort,
    NoBaseline,
    NotComparable,
    NothingChecked,
    NothingFits,
    NotMeasured,
    NotRunItself,
    NotTheBudgetsRun,
    OnlyInBaseline,
    OnlyNoisy,
    OtherLimit,
    PassNotRun,
    PeakAndHeadroom,
    PeakAndLimit,
    PeakGrowth,
    PeakUnknown,
    SameRun,
    SizeDiffers,
    StoppedAtCap,
    Throughput,
    ThroughputOfFew,
    TimeGrowth,
    TimesOfFew,
    TooFewSteps,
    Unfinished,
    Unusable,
    WentBothWays,
)
from rnnprof.gate.verdicts import Finding, Gate, Verdict
from rnnprof.reasons import Reason
from rnnprof.report.words import say
from rnnprof.report.words.gate import MOST_LISTED, worded
from rnnprof.runfile.certificates import EdgeStatus
from rnnprof.runfile.points import Outcome, Point

MIB = 1 << 20
GIB = 1 << 30
POINT = Point(64, 128)
DRIVER = Difference("driver", "570.1", "575.2", Affects.EVERYTHING)
FITS = PeakAndHeadroom(96, 40 * MIB, 64 * MIB, 0.4)
FEW = TooFewProcesses(2, 3)
KNOWN = LargestBatch(96, 100)

SENTENCES: list[tuple[Reason, str]] = [
    # whether there is anything to judge
    (NothingChecked(), "nothing was checked: the budget requires nothing"),
    (
        Unfinished(is_baseline=False),
        "the run was stopped before its end: repeat its command to finish it",
    ),
    (
        Unfinished(is_baseline=True),
        "the baseline was stopped before its end: repeat its command to finish it",
    ),
    (
        SameRun(),
        "the baseline is the run itself: give one that was measured before the change",
    ),
    (NoBaseline(), "the budget limits growth, and there is no baseline: give --baseline"),
    (
        BaselineIsEmpty(),
        "the baseline measured no point: there is nothing to compare the run with",
    ),
    # whether the run is the one that is required
    (KeyDiffers("cell", "lstm", "gru"), "cell is 'lstm', the budget has 'gru'"),
    (KeyDiffers("simulate", None, "t4"), "simulate is not set, the budget has 't4'"),
    (
        SizeDiffers("memory-limit", 64 * MIB, 32 * MIB),
        "memory-limit is 64.0 MiB, the budget has 32.0 MiB",
    ),
    (
        SizeDiffers("reserve", 64 * MIB, 64 * MIB - 1),
        "reserve is 64.0 MiB, the budget has 64.0 MiB (67108864 and 67108863 bytes)",
    ),
    (
        SizeDiffers("gpu-memory", None, 16 * GIB),
        "gpu-memory is not set, the budget has 16.0 GiB",
    ),
    (
        NotTheBudgetsRun((KeyDiffers("cell", "lstm", "gru"), KeyDiffers("device", "cpu", "cuda"))),
        (
            "the run does not match the budget: cell is 'lstm', the budget has 'gru'; "
            "device is 'cpu', the budget has 'cuda'"
        ),
    ),
    (
        NotComparable((DRIVER,)),
        "not comparable: driver 570.1 in the baseline, 575.2 in the run",
    ),
    (Comparable(1), "the same workload, device and software; 1 point of the baseline"),
    (
        Comparable(2, (DRIVER,), (POINT,)),
        (
            "the same workload, device and software; 2 points of the baseline; they differ in "
            "driver 570.1 in the baseline, 575.2 in the run; not judged, because the baseline did "
            "not measure them: B=64 T=128"
        ),
    ),
    (
        OtherLimit(64, 128 * MIB, 64 * MIB),
        "not comparable: B=64 ran under a limit of 128 MiB, 64.0 MiB is required",
    ),
    (
        OtherLimit(None, 128 * MIB, 64 * MIB),
        "not comparable: the proof ran under a limit of 128 MiB, 64.0 MiB is required",
    ),
    # what was not measured
    (NotMeasured(POINT), "missing: the run has no measurement at B=64 T=128"),
    (PassNotRun(POINT), "missing: the pass that measures it was not run at B=64 T=128"),
    (EdgeNotSearched(7), "missing: the run did not search for the largest batch at T=7"),
    (Ended(Outcome.CRASHED, "signal 9"), "missing: crashed: signal 9"),
    (Ended(Outcome.UNSUPPORTED, None), "missing: unsupported"),
    (MachineShort("1 GiB is free"), "other processes held the memory: 1 GiB is free"),
    (
        OnlyInBaseline(NotMeasured(POINT)),
        "missing: the run has no measurement at B=64 T=128; the baseline measured it",
    ),
    (
        OnlyInBaseline(DoesNotFit("out of memory"), is_limit_smaller=True),
        (
            "it does not fit: out of memory; its limit is below the baseline's; "
            "the baseline measured it"
        ),
    ),
    # fits
    (DoesNotFit(None), "it does not fit: out of memory"),
    (
        DoesNotFit("out of memory in forward", 64, "tried to allocate 9 MiB"),
        "it does not fit: B=64: out of memory in forward (tried to allocate 9 MiB)",
    ),
    (DoesNotFit("no: 9 MiB", 64, "9 MiB"), "it does not fit: B=64: no: 9 MiB"),
    (
        Unusable(EdgeStatus.NOT_STATIONARY, "each training step leaves 1.00 MiB"),
        "not stationary: each training step leaves 1.00 MiB",
    ),
    (WentBothWays(64), "B=64 fits in one pass and is out of memory in another"),
    (
        FitsAboveOom(64, 32),
        "B=64 fits although B=32 is out of memory: memory does not rise with B",
    ),
    (
        TooFewSteps(64, 1, 10),
        "B=64 fits over 1 training step, 10 are required: no proof",
    ),
    (
        TooFewSteps(64, 2, 10),
        "B=64 fits over 2 training steps, 10 are required: no proof",
    ),
    (FITS, "B=96 takes 40.0 MiB of 64.0 MiB: 38% is left, 40% is required"),
    (
        FitsWithUnknownPeak(64, None, 0.0),
        "B=64 fits; its peak is not known (it was not recorded)",
    ),
    (
        FitsWithUnknownPeak(64, "the probe died", 0.1),
        "B=64 fits; its peak is not known (the probe died); 10% headroom is required",
    ),
    (
        FitsWithoutHeadroom(64, 9, 0.1),
        (
            "B=64 fits only because the allocator emptied its cache (9 times): it has no headroom, "
            "10% is required"
        ),
    ),
    (
        FitsWithoutHeadroom(64, 1, 0.1),
        (
            "B=64 fits only because the allocator emptied its cache (once): it has no headroom, "
            "10% is required"
        ),
    ),
    (
        NotRunItself(FITS, 64),
        "B=96 takes 40.0 MiB of 64.0 MiB: 38% is left, 40% is required; B=64 itself was not run",
    ),
    # the largest batch
    (KNOWN, "B=96 is the largest known to fit, B=100 is required"),
    (LargestBatch(0, 100, "stopped"), "no batch is known to fit, B=100 is required: stopped"),
    (NothingFits("B=1 is out of memory"), "nothing fits: B=1 is out of memory"),
    (
        StoppedAtCap(KNOWN),
        (
            "B=96 is the largest known to fit, B=100 is required; no larger batch was tried: "
            "raise --at-most"
        ),
    ),
    (
        BetweenMultiples(KNOWN, 104),
        (
            "B=96 is the largest known to fit, B=100 is required; B=104 does not fit: give a finer "
            "--granularity"
        ),
    ),
    # figures against their limits
    (
        PeakAndLimit("allocated", 612 * MIB, 600 * MIB),
        "allocated peak 612 MiB, 600 MiB is allowed: +2%",
    ),
    (
        PeakUnknown("reserved", None),
        "the reserved peak is not known: this device does not report it",
    ),
    (PeakUnknown("process", "NVML hides it"), "the process peak is not known: NVML hides it"),
    (BaselinePeakUnknown(), "the allocated peak of the baseline is not known"),
    (
        PeakGrowth("charged", 33 * MIB, 32 * MIB, 2 * MIB),
        "charged peak 33.0 MiB (+3.1%), 32.0 MiB in the baseline; 2.00 MiB more is allowed",
    ),
    (
        PeakGrowth("charged", 33 * MIB, 0, 2 * MIB),
        "charged peak 33.0 MiB, 0 B in the baseline; 2.00 MiB more is allowed",
    ),
    (
        TimeGrowth(1.2, 1.0, 1.2, (0.97, 1.22), 1.21, 0.05),
        (
            "1.20 s, 1.00 s in the baseline: +20% (95% interval -3% to +22%, one-sided below "
            "+21%), +5% is allowed"
        ),
    ),
    (
        TimesOfFew(NoInterval(FEW, None)),
        (
            "the baseline has 2 of at least 3 quiet processes: too few to tell a change from "
            "noise; measure 5 quiet ones (--processes 5)"
        ),
    ),
    (
        TimesOfFew(NoInterval(None, FEW), 1.2, 1.0),
        (
            "1.20 s, 1.00 s in the baseline: +20%, but the run has 2 of at least 3 quiet "
            "processes: too few to tell a change from noise; measure 5 quiet ones (--processes 5)"
        ),
    ),
    (OnlyNoisy("the GPU slowed down"), "every process was noisy: the GPU slowed down"),
    (
        Throughput(663e3, (650e3, 676e3), 500e3),
        "663 k time steps/s (95% interval 650 k/s to 676 k/s), 500 k/s is required",
    ),
    (
        ThroughputOfFew(663e3, 500e3, FEW, 2.0),
        (
            "663 k time steps/s, 500 k/s is required; with 2 of at least 3 quiet processes only a "
            "factor of 2 stands out from noise; measure 5 quiet ones (--processes 5)"
        ),
    ),
]


@pytest.mark.parametrize(("reason", "sentence"), SENTENCES)
def test_sentences(reason: Reason, sentence: str) -> None:
    assert say(reason) == sentence


def test_every_reason_of_a_gate_has_its_sentence() -> None:
    members = (each for each in vars(reasons).values() if isinstance(each, type))
    kinds = {
        each for each in members if issubclass(each, Reason) and each.__module__ == reasons.__name__
    }
    assert {type(reason) for reason, _ in SENTENCES} == kinds


def test_a_reason_within_a_reason_is_said_too() -> None:
    assert say(Ended(Outcome.FAILED, WentBothWays(8))) == f"missing: failed: {say(WentBothWays(8))}"


def test_many_differences_are_counted() -> None:
    many = tuple(KeyDiffers(f"key{n}", 1, 2) for n in range(MOST_LISTED + 5))
    sentence = say(NotTheBudgetsRun(many))
    assert sentence.endswith("; and 5 more")
    assert sentence.count("the budget has") == MOST_LISTED


def test_a_gate_in_words_keeps_its_findings_in_order() -> None:
    findings = tuple(
        Finding("fits", f"B={n} T=1", verdict, WentBothWays(n))
        for n, verdict in enumerate((Verdict.PASS, Verdict.FAIL))
    )
    found = worded(Gate(findings))
    assert tuple(each.finding for each in found.findings) == findings
    assert [each.sentence for each in found.findings] == [say(f.reason) for f in findings]
    assert (found.verdict, found.exit_code(strict=False)) == (Verdict.FAIL, 1)


def test_a_gate_without_findings_says_that_nothing_was_checked() -> None:
    found = worded(Gate(()))
    assert [(each.finding.verdict, each.sentence) for each in found.findings] == [
        (Verdict.INCONCLUSIVE, say(NothingChecked())),
    ]
    assert found.exit_code(strict=True) == 3
