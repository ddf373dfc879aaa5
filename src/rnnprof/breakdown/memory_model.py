"""The memory model: peak bytes as the maximum of affine functions of B and B*T, for each phase.

Forward, backward and optimizer each hold weights, bytes per sequence and bytes per time step of a
sequence.  The largest temporary depends on size, so one phase may need several affine pieces; the
peak is the maximum of all.  They are fitted by least squares of the relative error, and the pieces
by alternating assignment (Magnani and Boyd, Convex piecewise-linear fitting, 2009).
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
"""Three coefficients, and one more sample to contradict them."""

GOOD_FIT_RATIO: Final = 0.002
"""If the largest relative error is not above this, no further piece is added."""

MAX_ROUNDS: Final = 25
LEAST_MARGIN_RATIO: Final = 0.005
"""The smallest margin of an upper bound: allocators round, and no model has seen every shape."""

MARGIN_FACTOR: Final = 2.0
"""The margin is this factor times the worst error of the fit or of left-out samples."""

MOST_FOLDS: Final = 30
"""The most folds of cross-validation for a piece; with fewer samples, each is left out once."""

COLUMNS: Final = ((0, 1, 2), (0, 2), (1, 2), (2,))
"""Sets of terms to fit; the first set that the samples determine is used."""

ONE_BATCH_COLUMNS: Final = ((1, 2), (2,))

SINGULAR_RATIO: Final = 1e-10
"""A smaller pivot, as a share of the largest entry, is a rounding error."""

_TINY: Final = 1e-12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sample:
    """Measured bytes at a point.

    Attributes:
        phase: the phase of these bytes; ``all`` for the peak over all phases.
    """

    point: Point
    size_bytes: float
    phase: str = "all"

    @property
    def terms(self) -> tuple[float, float, float]:
        """One, B and B*T, each divided by the bytes, so that the fit minimises relative errors."""
        batch, size = self.point.batch, self.size_bytes
        return 1.0 / size, float(batch) / size, float(batch * self.point.time_steps) / size


def samples_of(fits: Iterable[Fit]) -> list[Sample]:
    """Charged peaks of the workload's own passes, without those that an emptied cache reduced."""
    return [
        Sample(fit.point, size_bytes)
        for fit in fits
        if fit.outcome is Outcome.MEASURED and fit.is_of_the_workload and not fit.retries
        and (size_bytes := seen_peak_bytes(fit))
    ]  # fmt: skip


def seen_peak_bytes(fit: Fit) -> int | None:
    """The charged peak of a pass, or where only that of its first training steps is known, theirs.

    The latter says where to search, and is no result.
    """
    return fit.peak_charged_bytes or max(fit.step_peak_bytes, default=None)


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
        """Bytes per additional sequence."""
        return self.per_sequence + self.per_step * time_steps

    @property
    def rises(self) -> bool:
        """Whether the bytes never fall with more sequences or more time steps."""
        return self.per_step >= 0 and self.slope(1) >= 0

    def error(self, sample: Sample) -> float:
        """Relative error at a sample; positive where the plane is too high."""
        predicted = self.at(sample.point.batch, sample.point.time_steps)
        return (predicted - sample.size_bytes) / sample.size_bytes


@dataclass(frozen=True, slots=True)
class MemoryModel:
    """The maximum of its planes.

    Attributes:
        planes: all pieces of all phases.
        worst_error_ratio: worst relative error of the fit at its samples.
        margin_ratio: margin of :meth:`upper_bytes`, from errors at left-out samples.
        lengths: number of different T among the samples; with only one, bytes per sequence and
            bytes per time step cannot be separated.
    """

    planes: tuple[Plane, ...]
    worst_error_ratio: float
    margin_ratio: float
    lengths: int

    @classmethod
    def fit(cls, samples: Iterable[Sample]) -> MemoryModel | None:
        """Fit a model to the samples; None without any."""
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
        """The predicted peak at a point; at least one byte, even where a plane is negative."""
        return max(1.0, *(plane.at(point.batch, point.time_steps) for plane in self.planes))

    def upper_bytes(self, point: Point) -> float:
        """An upper bound of the peak at a point, with the model's margin."""
        return self.predict_bytes(point) * (1 + self.margin_ratio)

    def slope_bytes(self, point: Point) -> float:
        """Bytes per additional sequence, near a point."""
        highest = max(self.planes, key=lambda plane: plane.at(point.batch, point.time_steps))
        return highest.slope(point.time_steps)

    def edge(self, time_steps: int, limit_bytes: float) -> float:
        """The batch at which the peak reaches the limit; may be negative or infinite."""
        edges = []
        for plane in self.planes:
            slope = plane.slope(time_steps)
            if slope > _TINY:
                edges.append((limit_bytes - plane.fixed) / slope)
            elif plane.fixed > limit_bytes:
                edges.append(0.0)  # no batch fits; another plane may give a lower value
        return min(edges, default=float("inf"))

    def safe_edge(self, time_steps: int, limit_bytes: float) -> float:
        """The batch whose upper bound reaches the limit."""
        return self.edge(time_steps, limit_bytes / (1 + self.margin_ratio))


def fit_planes(samples: Iterable[Sample]) -> tuple[Plane, ...]:
    """Only the planes of a model, without its margin, which takes most of the time of a fit."""
    groups = _by_phase(samples).values()
    return tuple(plane for group in groups for plane in _floored(_pieces(group), group))


def _by_phase(samples: Iterable[Sample]) -> dict[str, list[Sample]]:
    """The samples above zero, by phase; sorted, so that their order does not change the model."""
    by_phase: dict[str, list[Sample]] = defaultdict(list)
    for sample in sorted(samples, key=_place):
        if sample.size_bytes > 0:
            by_phase[sample.phase].append(sample)
    return by_phase


def _place(sample: Sample) -> tuple[int, int, str, float]:
    return sample.point.batch, sample.point.time_steps, sample.phase, sample.size_bytes


def _best_error(pieces: Sequence[Plane], sample: Sample) -> float:
    """The relative error of the maximum of a phase's pieces."""
    return max(plane.error(sample) for plane in pieces)


def _left_out_error(pieces: Sequence[Plane], samples: Sequence[Sample]) -> float:
    """The worst error at samples that are left out of the fit; 0 with too few samples.

    Only the piece of these samples is fitted again, with the same assignment: to fit all pieces for
    each sample would take a hundred times as long and adds little.  With many samples, several are
    left out at a time.
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
            # without the smallest or largest sample the fit would extrapolate
            out = [s for s in group[fold::folds] if smallest < s.size_bytes < largest]
            if not out:
                continue
            kept = [_without(column, fold, folds) for column in terms]
            renewed = [*others, _fit_terms(_without(group, fold, folds), kept)]
            worst = max([worst, *(abs(_best_error(renewed, sample)) for sample in out)])
    return worst


def _without(values: Sequence[T], fold: int, folds: int) -> list[T]:
    """The values without every *folds*-th one, starting at *fold*."""
    kept = list(values)
    del kept[fold::folds]
    return kept


def _assigned(pieces: Sequence[Plane], samples: Sequence[Sample]) -> dict[int, list[Sample]]:
    """The samples by the index of the largest piece there."""
    assigned: dict[int, list[Sample]] = defaultdict(list)
    for sample in samples:
        errors = [plane.error(sample) for plane in pieces]
        assigned[errors.index(max(errors))].append(sample)
    return assigned


def _pieces(samples: Sequence[Sample]) -> list[Plane]:
    """The fewest planes with small errors, as far as the number of samples permits."""
    best = [fit_plane(samples)]
    best_error = _worst(best, samples)
    most = min(MAX_PIECES, len(samples) // MIN_SAMPLES_PER_PIECE)
    for count in range(2, most + 1):
        if best_error <= GOOD_FIT_RATIO:
            break
        pieces = _alternate(samples, count)
        error = _worst(pieces, samples)
        if error < best_error / 2:  # else the additional piece describes noise
            best, best_error = pieces, error
    return best


def _floored(pieces: list[Plane], samples: Sequence[Sample]) -> list[Plane]:
    """The pieces, with a constant one added if they are not positive at the smallest B and T."""
    batch = min(sample.point.batch for sample in samples)
    time_steps = min(sample.point.time_steps for sample in samples)
    if max(plane.at(batch, time_steps) for plane in pieces) > 0:
        return pieces
    return [*pieces, Plane(min(sample.size_bytes for sample in samples), 0.0, 0.0)]


def _worst(pieces: Sequence[Plane], samples: Sequence[Sample]) -> float:
    return max(abs(_best_error(pieces, sample)) for sample in samples)


def _alternate(samples: Sequence[Sample], count: int) -> list[Plane]:
    """The best of three fits that start from slices by bytes, by B and by T."""
    keys: tuple[Callable[[Sample], float], ...] = (
        lambda sample: sample.size_bytes,
        lambda sample: sample.point.batch,
        lambda sample: sample.point.time_steps,
    )
    fits = (_settle(_slices(sorted(samples, key=key), count), samples) for key in keys)
    return min(fits, key=lambda pieces: _worst(pieces, samples))


def _slices(ordered: Sequence[Sample], count: int) -> list[Plane]:
    """Cut the ordered samples into *count* slices, and fit a plane to each."""
    size = -(-len(ordered) // count)
    return [fit_plane(ordered[start : start + size]) for start in range(0, len(ordered), size)]


def _settle(planes: list[Plane], samples: Sequence[Sample]) -> list[Plane]:
    """Assign each sample to the largest piece there and fit again, until nothing changes."""
    for _ in range(MAX_ROUNDS):
        groups = _assigned(planes, samples).values()
        renewed = [fit_plane(group) for group in groups if len(group) >= MIN_SAMPLES_PER_PIECE]
        if not renewed or renewed == planes:
            break
        planes = renewed
    return planes


def fit_plane(samples: Sequence[Sample]) -> Plane:
    """The plane with least squares of relative errors, as far as the samples determine it.

    One sample gives a plane that is zero at B = 0.  From a single T, bytes per sequence cannot be
    separated from bytes per time step, and count as the latter.  From a single B, fixed bytes
    cannot be separated from bytes per sequence, and count as the latter.
    """
    return _fit_terms(samples, _terms(samples))


def _terms(samples: Sequence[Sample]) -> list[Sequence[float]]:
    """The samples' terms, column by column."""
    return list(zip(*(sample.terms for sample in samples), strict=True))


def _fit_terms(samples: Sequence[Sample], terms: Sequence[Sequence[float]]) -> Plane:
    """The plane of samples with given terms, which are computed once for many fits."""
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
    # multiply and sum whole columns, because runs are long and are fitted often
    normal = [[sum(map(mul, one, other)) for other in scaled] + [sum(one)] for one in scaled]
    solution = _solve(normal)
    if solution is None:
        return None
    return [value / most for value, most in zip(solution, scale, strict=True)]


def _solve(matrix: list[list[float]]) -> list[float] | None:
    """Gaussian elimination with pivots; None if the matrix is singular to working precision."""
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
