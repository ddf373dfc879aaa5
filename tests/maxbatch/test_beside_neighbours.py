"""Running the neighbours of a largest batch: each once, told as it goes, and nothing twice."""

from __future__ import annotations

from dataclasses import dataclass, field

from fakes import HEADER, FakeProbe, a_request, an_observer
from rnnprof.engine.listener import Listener
from rnnprof.maxbatch.beside import run_neighbours
from rnnprof.maxbatch.neighbours import neighbours_of, neighbours_to_run
from rnnprof.runfile.certificates import Certificate, EdgeStatus
from rnnprof.runfile.observations import Fit, Observation
from rnnprof.runfile.points import Grid, Outcome, Role
from rnnprof.runfile.records import Record, Run

STEPS = 16
EDGE = Certificate(STEPS, EdgeStatus.CERTIFIED, 1, 65536, batch=99)
"""Of the fakes' usual law at T=16, under their limit."""


@dataclass
class Heard(Listener):
    progress: list[tuple[int, int]] = field(default_factory=list)

    def looking_around(self, certificate: Certificate, done: int, total: int) -> None:
        self.progress.append((done, total))


def look_around(before: Run, heard: Heard | None = None) -> tuple[Fit, ...]:
    records: list[Record] = []
    observer = an_observer(FakeProbe(), a_request(Grid((), (STEPS,))), records.append)
    run_neighbours(observer, [EDGE], heard or Heard(), before)
    return tuple(each for each in records if isinstance(each, Observation))  # type: ignore[misc]


def test_each_neighbour_is_run_once_over_a_whole_proof() -> None:
    heard = Heard()
    fits = look_around(Run(HEADER), heard)
    assert sorted(fit.batch for fit in fits) == neighbours_to_run(EDGE)
    assert {fit.role for fit in fits} == {Role.NEIGHBOUR}
    whole = {fit.train_steps_run for fit in fits if fit.outcome is Outcome.MEASURED}
    assert whole == {EDGE.confirm_steps}
    assert heard.progress[-1] == (len(fits), len(fits)), "the line on the terminal ends"
    [found] = neighbours_of(Run(HEADER, observations=fits), [EDGE])
    assert found.is_monotone


def test_what_an_earlier_invocation_has_run_stays() -> None:
    fits = look_around(Run(HEADER))
    assert look_around(Run(HEADER, observations=fits[:10]))[0].batch == fits[10].batch
    assert look_around(Run(HEADER, observations=fits)) == ()
