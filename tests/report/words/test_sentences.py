"""Every sentence of a reason, as a user reads it: a table of reasons, each beside its sentence.

A new kind of reason fails here until it has a row; a row for each branch of its sentence.
"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

import rnnprof.report.words
from rnnprof.advice import reasons as advice
from rnnprof.advice.reasons import Lack, PredictedBatch
from rnnprof.breakdown import reasons as breakdown
from rnnprof.engine import reasons as engine
from rnnprof.maxbatch import reasons as maxbatch
from rnnprof.points import reasons as points
from rnnprof.points.reasons import Taker
from rnnprof.reasons import Reason, Reasons, joined
from rnnprof.report import trust
from rnnprof.report.words import as_text, say
from rnnprof.runfile.points import Outcome, Point
from rnnprof.study import reasons as study
from rnnprof.workload import Workload

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
POINT, LONGER = Point(8, 16), Point(16, 64)
BUSY = points.ProcessorTaken(Taker.OTHERS, 0.5)
GAVE = points.DataGave(64, 32)
BETWEEN = maxbatch.Between(40, 99)

Row = tuple[Reason, str]

SEVERAL: list[Row] = [
    (
        Reasons((BUSY, points.OthersTookMemory(GIB))),
        "other processes took 50% of a processor; other processes took 1.00 GiB of device memory",
    ),
]

POINTS: list[Row] = [
    (BUSY, "other processes took 50% of a processor"),
    (
        points.ProcessorTaken(Taker.HYPERVISOR, 0.1),
        "the hypervisor took 10% of a processor",
    ),
    (
        points.ProcessorTaken(Taker.QUOTA, 0.05),
        "the cgroup's quota stopped the process for 5% of the time",
    ),
    (
        points.GpuSlowedDown(("HwSlowdown", "HwThermalSlowdown")),
        "the GPU lowered its clock (HwSlowdown, HwThermalSlowdown)",
    ),
    (
        points.LowClock(1484, 0.749),
        "the GPU ran at 1484 MHz, 75% of its highest clock",
    ),
    (
        points.OthersTookMemory(64 * MIB),
        "other processes took 64.0 MiB of device memory",
    ),
    (GAVE, "requested 64, the data gave 32"),
    (
        points.ModulesSawNoMore(256, 64),
        "requested 256, but modules see no more than at B=64",
    ),
    (
        points.MemoryNoMore(1024, 16),
        "requested 1024, but a training step takes no more memory than at B=16",
    ),
    (
        points.BatchNotUsed(GAVE),
        "the batch is not used: requested 64, the data gave 32",
    ),
    (
        points.LengthNotUsed(128, 20),
        "T is not used: of 128 time steps requested, recurrent layers saw 20",
    ),
    (
        points.LengthShare(16, 2),
        "recurrent layers see 2 time steps at T=16, 12% of T",
    ),
    (
        points.SameData(8),
        (
            "both proofs of B=8 drew the same data: your code sets its own seed, or reads its "
            "data in a fixed order"
        ),
    ),
    (points.ImpliedBy(POINT), "B=8 T=16 was out of memory"),
    (
        points.PeakKnownWithout(100.0 * MIB, 0.004, 6),
        ("left out: 6 other memory passes predict an allocated peak of 100 MiB, to within 0.4%"),
    ),
]

BREAKDOWN: list[Row] = [
    (
        breakdown.DeviceWaited(0.032, 0.032),
        "the device was done 32.0 ms, 3.2% of a step, after the host's last launch",
    ),
    (breakdown.NoRates(), "the device's own rates were not measured in this run"),
    (
        breakdown.FasterThanProduct(2.1),
        (
            "the step is 210% faster than the matrix product that it is compared with: which "
            "share of the device it uses is not known"
        ),
    ),
    (
        breakdown.NothingCompared(),
        "neither a matrix product nor a copy could be timed",
    ),
    (
        breakdown.NothingCompared("no formula for aten.lstm_mps"),
        "no formula for aten.lstm_mps",
    ),
    (
        breakdown.Shares(0.12, 0.2),
        ("matrix products would take 12% of the step, the least memory traffic about 20%"),
    ),
    (
        breakdown.Shares(0.12, 0.0),
        ("matrix products would take 12% of the step, its data fit the cache"),
    ),
    (
        breakdown.Shares(0.12, None),
        ("matrix products would take 12% of the step, the least memory traffic is unknown"),
    ),
    (
        breakdown.Shares(None, 0.6),
        (
            "the time of the matrix products is unknown (none could be timed), the least memory "
            "traffic about 60%"
        ),
    ),
    (
        breakdown.Shares(None, 0.6, "no formula"),
        (
            "the time of the matrix products is unknown (no formula), the least memory traffic "
            "about 60%"
        ),
    ),
]

MAXBATCH: list[Row] = [
    (maxbatch.Stopped(), "the search was stopped before its end"),
    (maxbatch.ProbesSpent(24), "24 probes did not settle it"),
    (maxbatch.Contradiction(30, 20), "B=30 fits although B=20 was out of memory"),
    (
        maxbatch.MemoryFalls(30, 20 * MIB, 40, 12 * MIB),
        "memory falls from 20.0 MiB at B=30 to 12.0 MiB at B=40: what fits above is not known",
    ),
    (maxbatch.NoMultiple(8, 64), "there is no multiple of 64 up to B=8"),
    (maxbatch.SmallestFails(1), "B=1 is out of memory"),
    (
        maxbatch.SmallestFails(1, is_before=True),
        "B=1 is out of memory before its first training step",
    ),
    (
        maxbatch.SmallestFails(1, train_steps_run=1),
        "B=1 is out of memory after 1 training step",
    ),
    (
        maxbatch.SmallestFails(1, train_steps_run=9, left_bytes=MIB),
        "B=1 is out of memory after 9 training steps, each of which left 1.00 MiB",
    ),
    (
        maxbatch.EndedAt(50, "no answer in forward within 60 s"),
        "at B=50: no answer in forward within 60 s",
    ),
    (maxbatch.EndedAt(50, None), "at B=50: no reason was recorded"),
    (maxbatch.NotSupported("not supported in forward"), "not supported in forward"),
    (maxbatch.NotSupported(None), "not supported"),
    (
        maxbatch.FewerConfirmations(maxbatch.Stopped(), 40, 2, 3),
        "the search was stopped before its end: B=40 has passed in 2 of 3 fresh workers",
    ),
    (
        maxbatch.WentBothWays(40),
        "B=40 fitted in one run and ran out of memory in another: it counts as out of memory",
    ),
    (
        maxbatch.Thrashes(50, 8, without_batch=40, after_steps=2),
        (
            "B=50 thrashes: the allocator emptied its cache 8 times after training step 2, which "
            "takes time; B=40 fits without it"
        ),
    ),
    (
        maxbatch.Thrashes(50, 1),
        "B=50 thrashes: the allocator emptied its cache once, which takes time",
    ),
    (
        maxbatch.StepLeaves(MIB, 8, 58),
        "each training step leaves 1.00 MiB; B=8 lasts about 58 training steps",
    ),
    (
        maxbatch.StepLeaves(MIB, 8, 58, failed_batch=64, failed_steps=7),
        "each training step leaves 1.00 MiB; B=8 lasts about 58 training steps, B=64 lasted 7",
    ),
    (
        maxbatch.PeakGrows(0.078, 2),
        "memory differs from training step to step: the peak grew by up to 7.8% after the first 2",
    ),
    (
        maxbatch.NotBatchUsed(GAVE),
        "step does not use the batch: requested 64, the data gave 32",
    ),
    (
        maxbatch.BytesUnknown(),
        "no batch's memory is known, so there is no largest safe batch",
    ),
    (maxbatch.NoHeadroom(8), "not even B=8 leaves the headroom free"),
    (maxbatch.NothingKnown(), "nothing is known yet"),
    (BETWEEN, "the largest batch is 40 to 99"),
    (maxbatch.Between(40, None), "the largest batch is 40 or more"),
    (
        maxbatch.Predicted(63.5 * MIB, 64 * MIB, BETWEEN),
        "63.5 MiB of 64.0 MiB predicted; the largest batch is 40 to 99",
    ),
    (maxbatch.ToProve(1), "to prove it in a fresh worker over 1 training step"),
    (
        maxbatch.ToProve(200, 2.0),
        "to prove it in a fresh worker over 200 training steps, about 2.00 s",
    ),
    (maxbatch.OnceMore(), "once more: its worker died"),
    (
        maxbatch.SeemsToLeave(),
        "for longer: its training steps seem to leave memory behind",
    ),
    (maxbatch.TryStepFunction(0.05), "whether a step function fits 5% more"),
    (maxbatch.WhetherItFits(), "whether it fits"),
]

STUDY: list[Row] = [
    (
        study.LossWithoutLast(),
        "the loss does not depend on the last time step's input: return a loss of the last output",
    ),
    (
        study.LossWithoutInput(),
        "the loss depends on no input: no gradient reaches it",
    ),
    (study.NotFinite(7), "the gradient is not finite at lag 7 in some draws"),
    (
        study.Grows(125.24, 99),
        "the gradient at lag 99 is 125 times that of the last time step",
    ),
    (
        study.Falls(1e-3, 85, 399),
        "the gradient falls below 0.001 of that of the last time step after lag 85 of 399",
    ),
    (
        study.Lasts(0.3697, 99),
        "the gradient at lag 99, the largest, is 0.37 of that of the last time step",
    ),
    (study.GradientsNotFinite(), "some gradients are not finite"),
    (study.FewDraws(7, 8), "7 draws are too few: at least 8 are needed"),
    (
        study.LostInNoise(),
        "the gradient is lost in its noise: the noise scale may have no upper bound",
    ),
    (
        study.NoUpperEnd(),
        "the interval has no upper end: more draws, or a larger big batch, may give it one",
    ),
    (
        study.Worth(1234.0, 0.88, 16),
        "1.23 k sequences/s, each worth 88% of one at B=16; no batch here is faster",
    ),
    (
        study.Worth(1234.0, 0.88, 16, fastest_batch=512, times=2.5, fastest_ratio=0.4),
        (
            "1.23 k sequences/s, each worth 88% of one at B=16; B=512 runs 2.5 times as many, "
            "each worth 40%"
        ),
    ),
    (
        study.RestsOnNoise(200, 100.0, (80.0, 120.0), (16, 16)),
        (
            "the noise scale after 200 training steps is 100 sequences (95% interval 80 to 120): "
            "both ends give the same batch"
        ),
    ),
    (
        study.RestsOnNoise(200, 100.0, (1.0, math.inf), (16, 512)),
        (
            "the noise scale after 200 training steps is 100 sequences (95% interval 1 to "
            "infinity): its ends give batches 16 and 512"
        ),
    ),
    (
        study.NothingTimed(10),
        (
            "no batch that fits was timed at a T of at most 10: rnnprof profile --time-steps 10 "
            "times one"
        ),
    ),
    (
        study.ReachUnknown((16, 32)),
        (
            "how far gradients reach is not known at any T that was timed: rnnprof trainability "
            "--time-steps 16,32 measures it"
        ),
    ),
    (
        study.ReachTooShort(71, 70, 128),
        (
            "no T keeps a reach of 71: the furthest is 70 time steps, at T=128; longer chunks, "
            "another cell or another initialization may reach further"
        ),
    ),
    (
        study.ReachEnough(64, 60, 40),
        "at T=64 gradients reach 60 time steps back, 40 are requested",
    ),
    (
        study.BestOfReach(800.0, 64),
        "800 time steps/s at B=64, the best of the T that reach that far",
    ),
    (
        study.FasterButShort(Point(64, 32), 1000.0, 31),
        "B=64 T=32 is faster (1.00 k time steps/s), but reaches back only 31 time steps",
    ),
]


def left_out(lack: Lack, *, is_faster: bool = True) -> advice.LeftOut:
    return advice.LeftOut(16, 1000.0, lack, 0.05, is_faster)


ADVICE: list[Row] = [
    (
        advice.OnlyTimed(1000.0),
        "1.00 k time steps/s, the only usable batch timed at this T",
    ),
    (advice.BestRate(1000.0), "1.00 k time steps/s, the best at this T"),
    (
        advice.NearBest(970.0, 1000.0, 64, 0.05),
        (
            "970 time steps/s, 97% of the best at this T (1.00 k at B=64): the smallest batch "
            "within 5% of it"
        ),
    ),
    (
        advice.NoisyTime(BUSY),
        "it was timed while other processes took 50% of a processor",
    ),
    (
        advice.TakesMemory(8 * MIB, 64 * MIB),
        "it takes 8.00 MiB, 12% of the limit of 64.0 MiB",
    ),
    (
        advice.Undecided((8, 16), 0.05, noisy_batch=16),
        "B=8 or B=16 is the smallest batch within 5% of the best: the time of B=16 is noisy",
    ),
    (
        advice.Undecided((8, 16, 32), 0.05, drift_ratio=0.04),
        (
            "B=8, B=16 or B=32 is the smallest batch within 5% of the best: the machine's speed "
            "drifted by 4%"
        ),
    ),
    (
        advice.Undecided((8, 16), 0.05, precision_ratio=0.03),
        "B=8 or B=16 is the smallest batch within 5% of the best: times are known only to 3%",
    ),
    (
        advice.Undecided((8, 16), 0.05),
        (
            "B=8 or B=16 is the smallest batch within 5% of the best: some times have no "
            "confidence interval"
        ),
    ),
    (
        advice.SpeedUnknown(),
        (
            "a simulated GPU runs no kernel: memory is known, speed is not; see the largest safe "
            "batch at each T"
        ),
    ),
    (
        advice.Unfinished(),
        "the run was stopped before its end: what is missing may change the answer",
    ),
    (
        advice.NoPoint(),
        "no point was timed that fits with headroom: profile smaller batches",
    ),
    (advice.NoPointHere(), "no point was timed that fits with headroom"),
    (
        advice.NotStationary(32, maxbatch.StepLeaves(MIB, 8, 9)),
        (
            "T=32 is not stationary: each training step leaves 1.00 MiB; B=8 lasts about 9 "
            "training steps"
        ),
    ),
    (advice.NotStationary(32, None), "T=32 is not stationary"),
    (
        advice.PointNotUsed(Point(256, 16), points.DataGave(256, 64)),
        (
            "B=256 T=16 has no throughput, since its batch is not used: requested 256, the data "
            "gave 64"
        ),
    ),
    (
        advice.FasterLength(POINT, LONGER, 0.25),
        (
            "B=8 T=16 trains 25% more time steps/s than B=16 T=64, but its gradients reach back "
            "16 time steps at most"
        ),
    ),
    (
        advice.AlsoByGoodput(16),
        "at T=16 it is also the batch with the best goodput",
    ),
    (
        advice.OtherByGoodput(16, 64),
        "at T=16 B=64 is better by goodput: see below",
    ),
    (
        left_out(Lack.HEADROOM),
        "B=16 is faster (1.00 k time steps/s), but leaves less than 5% of the limit",
    ),
    (
        left_out(Lack.MEMORY_UNKNOWN),
        "B=16 is faster (1.00 k time steps/s), but its memory is not known",
    ),
    (
        left_out(Lack.THRASHING, is_faster=False),
        "B=16 was timed (1.00 k time steps/s), but thrashes",
    ),
    (
        advice.FitsAtOnce(32),
        "the batch of 32 fits at once, without accumulation",
    ),
    (
        advice.Accumulates(128, 4, 32),
        "4 steps of accumulation at B=32 make the batch of 128",
    ),
    (
        advice.Accumulates(516, 43, 12, 17, 30),
        "43 steps of accumulation at B=12 make the batch of 516; 17 at B=30 make 510",
    ),
    (
        advice.UnderLimit(
            32.0 * MIB,
            (
                PredictedBatch(16, 16, is_exact=True),
                PredictedBatch(32, 8),
                PredictedBatch(64, None),
            ),
        ),
        "under 32.0 MiB the largest batches would be T=16: 16 or more, T=32: about 8, T=64: none",
    ),
    (
        advice.NotStudied(16, worth=True, reach=True),
        (
            "what a sequence is worth at this batch and how far back gradients reach at this T: "
            "rnnprof trainability --time-steps 16 measures both"
        ),
    ),
    (
        advice.NotStudied(16, worth=True, reach=True, is_script=True),
        (
            "what a sequence is worth at this batch and how far back gradients reach at this T: "
            "rnnprof trainability measures both, of a factory and not of a script"
        ),
    ),
    (
        advice.NotStudied(16, worth=True, reach=False),
        "what a sequence is worth at this batch: rnnprof trainability --time-steps 16 measures it",
    ),
    (
        advice.NotStudied(16, worth=False, reach=True),
        "how far back gradients reach at this T: rnnprof trainability --time-steps 16 measures it",
    ),
]

ENGINE: list[Row] = [
    (
        engine.LimitKept(GIB, 512 * MIB),
        (
            "the limit of 1.00 GiB is kept, though only 512 MiB are free now: what needs more is "
            "left open and does not count as out of memory"
        ),
    ),
    (
        engine.IncompleteRecordSaved("runs/a.jsonl.torn-0123456789abcdef"),
        (
            "the run file ended in an incomplete record, as a crash or a full disk leaves it: its "
            "bytes are kept in runs/a.jsonl.torn-0123456789abcdef, and the run goes on after the "
            "record before"
        ),
    ),
    (
        engine.PassesLeftOut(5, 20, 0.005),
        "5 of 20 memory passes left out; the others give their peaks to within 0.5%",
    ),
    (
        engine.TimedAgain(POINT, BUSY),
        "B=8 T=16: other processes took 50% of a processor while it was timed; timing it again",
    ),
    (
        engine.TemplateRestarted("was killed by signal 9 (SIGKILL)", is_repeated=True),
        (
            "the worker template was killed by signal 9 (SIGKILL); it was started again and this "
            "attempt repeated"
        ),
    ),
    (
        engine.Doing(1, 3, POINT, "gradients after 200 training steps"),
        "[1/3] B=8 T=16: gradients after 200 training steps",
    ),
]

FIVE = tuple(Point(batch, 16) for batch in (1, 2, 4, 8, 16))

SCRIPTS: list[Row] = [
    (
        points.PlaceholderUnused("batch", GAVE),
        "{batch} had no effect: requested 64, the data gave 32",
    ),
    (
        points.PlaceholderUnused("time_steps", points.LengthNotUsed(70, 35)),
        (
            "{time_steps} had no effect: T is not used: of 70 time steps requested, recurrent "
            "layers saw 35"
        ),
    ),
    (
        points.HoldsBefore(1945 * MIB, 2 * GIB, 12 * MIB),
        (
            "before its first training step the script holds 1.90 GiB of 2.00 GiB (weights 12.0 "
            "MiB): the data set that it loads counts against the limit"
        ),
    ),
    (
        points.HoldsBefore(GIB, 2 * GIB, GIB),
        ("before its first training step the script holds 1.00 GiB of 2.00 GiB (weights 1.00 GiB)"),
    ),
    (
        points.HoldsBefore(GIB, 2 * GIB),
        (
            "before its first training step the script holds 1.00 GiB of 2.00 GiB: the data set "
            "that it loads counts against the limit"
        ),
    ),
    (
        points.StartTakes(3.1),
        "each start of the script takes 3.10 s before its first training step",
    ),
    (
        points.StartTakes(3.1, 24, 150.0),
        (
            "each start of the script takes 3.10 s before its first training step; about 24 "
            "starts, at most 2 min 30 s in all"
        ),
    ),
    (
        points.StartTakes(0.5, 1, 2.0),
        (
            "each start of the script takes 500 ms before its first training step; about 1 "
            "start, at most 2 s in all"
        ),
    ),
    (points.ProbesLeft(4, 95.0), "about 4 starts of the script to go, 1 min 35 s in all"),
    (
        engine.Opens(Workload(), "cpu", None, 1 << 30),
        "lstm 256->512, 1 layer, fp32, adam on cpu, within 1.00 GiB",
    ),
    (
        engine.Opens(Workload(), "cuda", "Tesla T4", None),
        "lstm 256->512, 1 layer, fp32, adam on simulated Tesla T4, within free memory",
    ),
    (
        engine.PredictedLargest(32, 1230, 3),
        "T=32: about 1230 sequences fit, as 3 points predict it; not proven",
    ),
    (engine.SetupRuns("./fetch.sh  data"), "running --setup: ./fetch.sh data"),
    (engine.ScriptChecked(POINT), "B=8 T=16: starting the script to see whether it trains"),
    (
        engine.AnotherLength(99, 30),
        (
            "the script trains with T=30, whatever -T says: put {time_steps} where it takes its "
            "sequence length to run it with T=99"
        ),
    ),
]

TRUST: list[Row] = [
    (trust.NothingRequested(), "nothing was requested"),
    (trust.NotEnded(), "the last invocation was stopped before its end"),
    (trust.NotReached((POINT,)), "1 point (B=8 T=16) not reached"),
    (
        trust.NotReached((LONGER, POINT)),
        "2 points (B=8 T=16, B=16 T=64) not reached",
    ),
    (trust.NotReached(FIVE), "5 points not reached"),
    (trust.EndedBadly((POINT,), Outcome.CRASHED), "1 point (B=8 T=16) crashed"),
    (trust.EndedBadly((POINT,), Outcome.TIMEOUT), "1 point (B=8 T=16) timed out"),
    (
        trust.LargestUnknown(16, maxbatch.EndedAt(5, "it died")),
        "the largest batch at T=16 is not known: at B=5: it died",
    ),
    (trust.LargestUnknown(16, None), "the largest batch at T=16 is not known"),
    (
        trust.TimedNoisy((POINT, LONGER), POINT, BUSY),
        (
            "2 points (B=8 T=16, B=16 T=64) timed while noisy, though repeated once (B=8 T=16: "
            "other processes took 50% of a processor)"
        ),
    ),
    (
        trust.SpeedDrifted(POINT, 0.12),
        (
            "the machine's speed drifted by 12% between timings of the anchor B=8 T=16: compare "
            "times across points with care; memory does not depend on it"
        ),
    ),
    (trust.AllAnswered(1), "the point has an answer"),
    (trust.AllAnswered(4), "all 4 points have an answer"),
    (trust.AllLargestKnown(2), "the largest batch is known at 2 of 2 T"),
    (trust.NoneNoisy(), "no timing that counts was noisy"),
    (trust.DriftedLittle(POINT, 0.03), "the anchor B=8 T=16 drifted by 3%"),
    (
        trust.Loose(3, 9),
        "3 of 9 times did not settle within the precision requested: their intervals are shown",
    ),
]

TABLE = [*SEVERAL, *POINTS, *BREAKDOWN, *MAXBATCH, *STUDY, *ADVICE, *ENGINE, *SCRIPTS, *TRUST]

NAMES = re.compile(r"^(?:B=\d|T=\d|T is |\d|\[\d|\{)")
"""What a sentence may begin with besides a small letter: a name, a number or an option."""

NOT_PLAIN = re.compile(r"\b(?:told|foretold|lest|asked for)\b")


@pytest.mark.parametrize(
    ("reason", "sentence"), TABLE, ids=[type(reason).__name__ for reason, _ in TABLE]
)
def test_a_reason_has_its_sentence(reason: Reason, sentence: str) -> None:
    assert say(reason) == as_text(reason) == sentence


@pytest.mark.parametrize("sentence", [sentence for _, sentence in TABLE])
def test_a_sentence_is_plain_and_can_stand_behind_a_colon(sentence: str) -> None:
    assert sentence == sentence.strip()
    assert len(sentence.splitlines()) == 1
    assert not sentence.endswith(".")
    assert sentence[:1].islower() or NAMES.match(sentence)
    assert NOT_PLAIN.search(sentence) is None


def kinds(base: type[Reason] = Reason) -> Iterator[type[Reason]]:
    """Every kind of reason of the package.

    A dataclass with slots is made anew of a class that stays among the subclasses for a while: the
    one that its module has by this name is meant.
    """
    for kind in base.__subclasses__():
        module = sys.modules.get(kind.__module__)
        if getattr(module, kind.__qualname__, None) is kind:
            yield kind
        yield from kinds(kind)


def test_every_kind_of_reason_has_a_sentence_of_its_own() -> None:
    assert rnnprof.report.words.say is say
    without = {kind.__name__ for kind in kinds() if say.dispatch(kind) is say.dispatch(Reason)}
    assert without == set()


def test_every_kind_of_reason_is_in_the_table() -> None:
    """Of the parts that the table is of; another's have a table of their own."""
    parts = (advice, breakdown, engine, maxbatch, points, study, trust)
    modules = {"rnnprof.reasons", *(part.__name__ for part in parts)}
    known = {kind for kind in kinds() if kind.__module__ in modules}
    assert {type(reason) for reason, _ in TABLE} == known


def test_a_reason_prints_as_its_sentence() -> None:
    for reason, sentence in TABLE:
        assert str(reason) == f"{reason}" == sentence


def test_without_the_words_a_reason_has_no_text() -> None:
    """So that an f-string in a judge fails, where the fields would be shown."""
    code = (
        "from rnnprof.maxbatch.reasons import Stopped\n"
        "try:\n    f'{Stopped()}'\n"
        "except TypeError as error:\n    print(error)"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == "Stopped has no text before rnnprof.report.words is loaded\n"


def test_what_the_api_returns_can_be_printed() -> None:
    code = (
        "import rnnprof\nrnnprof.largest_batch\n"
        "from rnnprof.maxbatch.reasons import SmallestFails\nprint(SmallestFails(1))"
    )
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == "B=1 is out of memory\n"


def test_a_reason_without_a_sentence_is_an_error() -> None:
    class Unheard(Reason):
        pass

    with pytest.raises(TypeError, match="no sentence is written for Unheard"):
        say(Unheard())


def test_recorded_text_stands_as_it_is() -> None:
    assert as_text("No Such Thing.") == "No Such Thing."
    assert as_text(None) == ""


def test_reasons_are_joined_in_order_without_what_is_none() -> None:
    one, two, three = BUSY, GAVE, maxbatch.Stopped()
    assert joined() is None
    assert joined(None, None) is None
    assert joined(None, one) is one
    both = joined(one, None, two)
    assert both == Reasons((one, two))
    assert joined(both, three) == joined(one, joined(two, three)) == Reasons((one, two, three))
