"""The memory model: peak bytes as the greatest of affine functions of B and B*T, phase by phase.

Forward, backward and optimizer each hold weights, a part for each sequence and a part for each of
its time steps.  Which temporary is the largest changes with size, so one phase may need more than
one affine piece; the peak is the greatest of all.  Fitted by least squares of the relative error,
pieces by alternating assignment (Magnani and Boyd, Convex piecewise-linear fitting, 2009).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import mul
from typing import Final, TypeVar

from rnnprof.runfile.observations import Fit
from rnnprof.runfile.points import Outcome, Point

MAX_PIECES: Final = 3
MIN_SAMPLES_PER_PIECE: Final = 4
"""Three coefficients and one sample that can contradict them."""

GOOD_FIT_RATIO: Final = 0.002
"""A piece that is this near everywhere needs no second one beside it."""

MAX_ROUNDS: Final = 25
LEAST_MARGIN_RATIO: Final = 0.005
"""What an upper bound adds, at least: allocators round, and no model has seen every shape."""

MARGIN_FACTOR: Final = 2.0
"""Times the worst error that leaving each sample out has shown."""

MOST_FOLDS: Final = 30
"""Times that a piece is fitted anew with some of its samples left out: each one, up to so many."""

COLUMNS: Final = ((0, 1, 2), (0, 2), (1, 2), (2,))
"""Of a sample's terms, those that are fitted: the first set that the samples determine."""

ONE_BATCH_COLUMNS: Final = ((1, 2), (2,))

SINGULAR_RATIO: Final = 1e-10
"""A pivot that is less, as a share of the largest entry, is rounding."""

_TINY: Final = 1e-12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """Bytes that were seen at a point, and the phase in which they stood."""

    point: Point
    size_bytes: float
    phase: str = "all"

    @property
    def terms(self) -> tuple[float, float, float]:
        """One, B and B*T, each over the bytes: least squares of them are of the relative error."""
        batch, size = self.point.batch, self.size_bytes
        return 1.0 / size, float(batch) / size, float(batch * self.point.time_steps) / size


def samples_of(fits: Iterable[Fit]) -> list[Sample]:
    """Charged peaks of the workload's own passes, but where an emptied cache made them smaller."""
    return [
        Sample(fit.point, fit.peak_charged_bytes)
        for fit in fits
        if fit.outcome is Outcome.MEASURED
        and fit.is_of_the_workload
        and fit.peak_charged_bytes
        and not fit.retries
    ]


@dataclass(frozen=True, slots=True)
class Plane:
    """``fixed + per_sequence*B + per_step*B*T`` bytes."""

    fixed: float
    per_sequence: float
    per_step: float

    def at(self, batch: float, time_steps: float) -> float:
        """Bytes at a point."""
        return self.fixed + batch * self.slope(time_steps)

    def slope(self, time_steps: float) -> float:
        """Bytes that one sequence more takes."""
        return self.per_sequence + self.per_step * time_steps

    @property
    def rises(self) -> bool:
        """Whether more sequences, and more time steps, take no less."""
        return self.per_step >= 0 and self.slope(1) >= 0

    def error(self, sample: Sample) -> float:
        """Relative error at a sample; positive where the plane is too high."""
        predicted = self.at(sample.point.batch, sample.point.time_steps)
        return (predicted - sample.size_bytes) / sample.size_bytes


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """The greatest of its planes.

    Attributes:
        planes: all pieces of all phases.
        worst_error_ratio: of the fit, at the samples themselves.
        margin_ratio: what :meth:`upper_bytes` adds; from errors at samples left out.
        lengths: different T among the samples; of one alone, what a sequence takes whatever its
            length is not known.
    """

    planes: tuple[Plane, ...]
    worst_error_ratio: float
    margin_ratio: float
    lengths: int

    @classmethod
    def fit(cls, samples: Iterable[Sample]) -> MemoryModel | None:
        """A model of the samples; None without any."""
        by_phase = _by_phase(samples)
        if not by_phase:
            return None
        fitted = {phase: _floored(_pieces(group), group) for phase, group in by_phase.items()}
        planes = tuple(plane for pieces in fitted.values() for plane in pieces)
        everything = [sample for group in by_phase.values() for sample in group]
        worst = max(abs(_best_error(fitted[sample.phase], sample)) for sample in everything)
        left_out = max(_left_out_error(fitted[name], group) for name, group in by_phase.items())
        margin = max(LEAST_MARGIN_RATIO, MARGIN_FACTOR * max(worst, left_out))
        return cls(planes, worst, margin, len({s.point.time_steps for s in everything}))

    def predict_bytes(self, point: Point) -> float:
        """The peak at a point; never below a byte, whatever few samples say of a small one."""
        return max(1.0, *(plane.at(point.batch, point.time_steps) for plane in self.planes))

    def upper_bytes(self, point: Point) -> float:
        """The peak that is not expected to be passed."""
        return self.predict_bytes(point) * (1 + self.margin_ratio)

    def slope_bytes(self, point: Point) -> float:
        """Bytes that one sequence more takes, near a point."""
        highest = max(self.planes, key=lambda plane: plane.at(point.batch, point.time_steps))
        return highest.slope(point.time_steps)

    def edge(self, time_steps: int, limit_bytes: float) -> float:
        """The batch at which the peak meets the limit; may be negative or infinite."""
        edges = []
        for plane in self.planes:
            slope = plane.slope(time_steps)
            if slope > _TINY:
                edges.append((limit_bytes - plane.fixed) / slope)
            elif plane.fixed > limit_bytes:
                edges.append(0.0)  # no batch fits; another plane may say so more strongly
        return min(edges, default=float("inf"))

    def safe_edge(self, time_steps: int, limit_bytes: float) -> float:
        """The batch whose upper bound meets the limit."""
        return self.edge(time_steps, limit_bytes / (1 + self.margin_ratio))


def fit_planes(samples: Iterable[Sample]) -> tuple[Plane, ...]:
    """The model's planes alone: how far they can be relied on costs most of a fit."""
    groups = _by_phase(samples).values()
    return tuple(plane for group in groups for plane in _floored(_pieces(group), group))


def _by_phase(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples that took anything; their order must not change the model."""
    by_phase: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=_place):
        if sample.size_bytes > 0:
            by_phase[sample.phase].append(sample)
    return by_phase


def _place(sample: Sample) -> tuple[int, int, str, float]:
    return sample.point.batch, sample.point.time_steps, sample.phase, sample.size_bytes


def _best_error(pieces: Sequence[Plane], sample: Sample) -> float:
    """The relative error of the greatest of a phase's pieces."""
    return max(plane.error(sample) for plane in pieces)


def _left_out_error(pieces: Sequence[Plane], samples: Sequence[Sample]) -> float:
    """The worst error at a sample that its piece has not seen; 0 where too few are there to tell.

    The other pieces, and which samples are whose, stay: to fit all anew for each sample would take
    a hundred times as long and says little more.  Of many samples several are left out at a time.
    """
    worst = 0.0
    sizes = [sample.size_bytes for sample in samples]
    smallest, largest = min(sizes), max(sizes)
    for place, group in _assigned(pieces, samples).items():
        if len(group) <= MIN_SAMPLES_PER_PIECE:
            continue
        others = [*pieces[:place], *pieces[place + 1 :]]
        folds = min(len(group), MOST_FOLDS)
        terms = _terms(group)
        for fold in range(folds):
            # an extreme left out asks for extrapolation instead
            out = [s for s in group[fold::folds] if smallest < s.size_bytes < largest]
            if not out:
                continue
            kept = [_without(column, fold, folds) for column in terms]
            renewed = [*others, _fit_terms(_without(group, fold, folds), kept)]
            worst = max([worst, *(abs(_best_error(renewed, sample)) for sample in out)])
    return worst


def _without(values: Sequence[T], fold: int, folds: int) -> list[T]:
    """The values that stay when every *folds*-th from *fold* on is left out."""
    kept = list(values)
    del kept[fold::folds]
    return kept


def _assigned(pieces: Sequence[Plane], samples: Sequence[Sample]) -> dict[int, list[Sample]]:
    """The samples by the piece that is greatest there."""
    assigned: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        errors = [plane.error(sample) for plane in pieces]
        assigned[errors.index(max(errors))].append(sample)
    return assigned


def _pieces(samples: Sequence[Sample]) -> list[Plane]:
    """As few planes as bring every error down, as far as the samples can carry them."""
    best = [fit_plane(samples)]
    best_error = _worst(best, samples)
    most = min(MAX_PIECES, len(samples) // MIN_SAMPLES_PER_PIECE)
    for count in range(2, most + 1):
        if best_error <= GOOD_FIT_RATIO:
            break
        pieces = _alternate(samples, count)
        error = _worst(pieces, samples)
        if error < best_error / 2:  # or else the second piece describes noise
            best, best_error = pieces, error
    return best


def _floored(pieces: list[Plane], samples: Sequence[Sample]) -> list[Plane]:
    """With a level beside them where they fall below zero: in the samples' lowest corner."""
    batch = min(sample.point.batch for sample in samples)
    time_steps = min(sample.point.time_steps for sample in samples)
    if max(plane.at(batch, time_steps) for plane in pieces) > 0:
        return pieces
    return [*pieces, Plane(min(sample.size_bytes for sample in samples), 0.0, 0.0)]


def _worst(pieces: Sequence[Plane], samples: Sequence[Sample]) -> float:
    return max(abs(_best_error(pieces, sample)) for sample in samples)


def _alternate(samples: Sequence[Sample], count: int) -> list[Plane]:
    """The best of the fits that start from slices by bytes, by B and by T."""
    keys: tuple[Callable[[Sample], float], ...] = (
        lambda sample: sample.size_bytes,
        lambda sample: sample.point.batch,
        lambda sample: sample.point.time_steps,
    )
    fits = (_settle(_slices(sorted(samples, key=key), count), samples) for key in keys)
    return min(fits, key=lambda pieces: _worst(pieces, samples))


def _slices(ordered: Sequence[Sample], count: int) -> list[Plane]:
    """A plane for each of so many runs of neighbours."""
    size = -(-len(ordered) // count)
    return [fit_plane(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def _settle(planes: list[Plane], samples: Sequence[Sample]) -> list[Plane]:
    """Assign each sample to the piece that is greatest there, fit, and again until it rests."""
    for _ in range(MAX_ROUNDS):
        groups = _assigned(planes, samples).values()
        renewed = [fit_plane(group) for group in groups if len(group) >= MIN_SAMPLES_PER_PIECE]
        if not renewed or renewed == planes:
            break
        planes = renewed
    return planes


def fit_plane(samples: Sequence[Sample]) -> Plane:
    """The plane with the least squares of relative errors, as far as the samples determine it.

    One sample gives a plane through nothing at B = 0, which is too low for every larger batch;
    samples of one T cannot tell a sequence's bytes from its time steps', and give them to these;
    samples of one B cannot tell fixed bytes from a sequence's, and give them to this.
    """
    return _fit_terms(samples, _terms(samples))


def _terms(samples: Sequence[Sample]) -> list[Sequence[float]]:
    """The samples' terms, column by column."""
    return list(zip(*(sample.terms for sample in samples), strict=True))


def _fit_terms(samples: Sequence[Sample], terms: Sequence[Sequence[float]]) -> Plane:
    """The plane of samples whose terms are known: who fits many parts of them has these once."""
    one_batch = len({sample.point.batch for sample in samples}) == 1
    for columns in ONE_BATCH_COLUMNS if one_batch else COLUMNS:
        solved = _least_squares([terms[column] for column in columns])
        if solved is None:
            continue
        coefficients = dict(zip(columns, solved, strict=True))
        plane = Plane(*(coefficients.get(column, 0.0) for column in range(3)))
        if plane.rises:
            return plane
    return Plane(max(sample.size_bytes for sample in samples), 0.0, 0.0)


def _least_squares(columns: Sequence[Sequence[float]]) -> list[float] | None:
    """A coefficient for each column of terms; None where the samples do not determine them."""
    scale = [max(column) for column in columns]
    scaled = [[term / most for term in column] for column, most in zip(columns, scale, strict=True)]
    # whole columns are multiplied and summed at a time, for runs are long and are fitted often
    normal = [[sum(map(mul, one, other)) for other in scaled] + [sum(one)] for one in scaled]
    solution = _solve(normal)
    if solution is None:
        return None
    return [value / most for value, most in zip(solution, scale, strict=True)]


def _solve(matrix: list[list[float]]) -> list[float] | None:
    """Gauss's elimination with pivots; None where the matrix is singular to working precision."""
    size = len(matrix)
    largest = max(abs(row[column]) for row in matrix for column in range(size))
    for column in range(size):
        pivot = max(range(column, size), key=lambda row: abs(matrix[row][column]))
        if abs(matrix[pivot][column]) <= largest * SINGULAR_RATIO:
            return None
        matrix[column], matrix[pivot] = matrix[pivot], matrix[column]
        for row in range(size):
            if row != column:
                factor = matrix[row][column] / matrix[column][column]
                for place in range(column, size + 1):
                    matrix[row][place] -= factor * matrix[column][place]
    return [matrix[row][size] / matrix[row][row] for row in range(size)]
