"""Memory laws for the tests of the model and the search: bytes that are known everywhere."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rnnprof.breakdown.memory_model import MemoryModel, Plane, Sample
from rnnprof.maxbatch.search import EdgeSearch, Try
from rnnprof.runfile.points import Outcome, Point

KIB = 2**10
MIB = 2**20
GIB = 2**30
MOST = 65_536

Bytes = Callable[[int], float]


@dataclass(frozen=True)
class Law:
    """The greatest of planes, and noise that is the same whenever a point is asked again."""

    planes: tuple[Plane, ...]
    noise_ratio: float = 0.0
    seed: int = 0

    def at(self, batch: int, time_steps: int) -> int:
        smooth = max(plane.at(batch, time_steps) for plane in self.planes)
        return max(1, round(smooth * (1 + self.noise_ratio * self._noise(batch, time_steps))))

    def sample(self, batch: int, time_steps: int) -> Sample:
        return Sample(Point(batch, time_steps), self.at(batch, time_steps))

    def edge(self, time_steps: int, limit_bytes: float, most: int = MOST) -> int:
        """The batch below the first that passes the limit."""
        # nothing below this can pass: planes grow with B, and noise is bounded
        calm = limit_bytes / (1 + self.noise_ratio) - 1
        batch = max(0, math.floor(_meets(self.planes, time_steps, calm)) - 1)
        while batch < most and self.at(batch + 1, time_steps) <= limit_bytes:
            batch += 1
        return min(batch, most)

    def _noise(self, batch: int, time_steps: int) -> float:
        """Between -1 and 1, uniform."""
        mixed = (batch * 0x9E3779B97F4A7C15 + time_steps * 0xC2B2AE3D27D4EB4F + self.seed) % 2**64
        for _ in range(2):
            mixed = ((mixed ^ (mixed >> 29)) * 0xBF58476D1CE4E5B9) % 2**64
        return (mixed ^ (mixed >> 32)) / 2**63 - 1


def _meets(planes: Sequence[Plane], time_steps: int, limit_bytes: float) -> float:
    edges = ((limit_bytes - plane.fixed) / max(plane.slope(time_steps), 1e-9) for plane in planes)
    return min(MOST, *edges)


def random_law(rng: random.Random, pieces: int = 1, noise_ratio: float = 0.0) -> Law:
    """As of recurrent networks: 5 to 200 MiB of weights, kinks within 30% of the main slope."""
    fixed = _between(rng, 5 * MIB, 200 * MIB)
    per_step = _between(rng, KIB, 200 * KIB)
    main = Plane(fixed, per_step * rng.uniform(0, 20), per_step)
    planes = [main]
    while len(planes) < pieces:
        slope = rng.uniform(0.7, 1.3)
        # where this piece meets the main one, in time steps
        meeting = _between(rng, 64, 65_536)
        shift = meeting * main.per_step * (1 - slope)
        planes.append(Plane(fixed + shift, slope * main.per_sequence, slope * per_step))
    return Law(tuple(planes), noise_ratio, rng.getrandbits(60))


def random_case(
    rng: random.Random, pieces: int = 1, noise_ratio: float = 0.0, lengths: Sequence[int] = ()
) -> tuple[Law, int, float]:
    """A law, T and a limit whose edges are from 1 to the cap, over all lengths if any are given."""
    while True:
        law = random_law(rng, pieces, noise_ratio)
        time_steps = round(_between(rng, 1, 512))
        limit_bytes = _between(rng, 64 * MIB, 80 * GIB)
        edges = [law.edge(t, limit_bytes) for t in lengths or (time_steps,)]
        if all(1 <= edge < MOST for edge in edges):
            return law, time_steps, limit_bytes


def _between(rng: random.Random, low: float, high: float) -> float:
    """Log-uniform."""
    return float(math.exp(rng.uniform(math.log(low), math.log(high))))


@dataclass
class Run:
    """A search that was driven to its end, and what it ran."""

    search: EdgeSearch
    proposed: list[int] = field(default_factory=list)

    @property
    def probes(self) -> int:
        return len(self.proposed)

    @property
    def ooms(self) -> int:
        tried = self.search.tries[-self.probes :] if self.probes else []
        return sum(one.outcome is Outcome.OOM for one in tried)


def drive(
    search: EdgeSearch,
    fits: Callable[[int], bool],
    size_bytes: Callable[[int], int | None],
    samples: list[Sample] | None = None,
) -> Run:
    """Ask and answer until the search is over; adds what passed to *samples*."""
    samples = [] if samples is None else samples
    run = Run(search)
    while (units := search.propose(MemoryModel.fit(samples))) is not None:
        run.proposed.append(units)
        assert run.probes <= 200, f"no end: {run.proposed[-9:]}"
        if not fits(units):
            search.learn(Try(units, Outcome.OOM))
            continue
        size = size_bytes(units)
        search.learn(Try(units, Outcome.MEASURED, size))
        if size is not None:
            samples.append(Sample(Point(units * search.granularity, search.time_steps), size))
    return run


def drive_law(
    law: Law,
    time_steps: int,
    limit_bytes: float,
    samples: list[Sample] | None = None,
    most: int = MOST,
    granularity: int = 1,
) -> Run:
    """A search under a law: what fits is what is below the first batch that does not."""
    edge = law.edge(time_steps, limit_bytes, most * granularity)
    return drive(
        EdgeSearch(time_steps, limit_bytes, most, granularity),
        lambda units: units * granularity <= edge,
        lambda units: law.at(units * granularity, time_steps),
        samples,
    )
