"""The messages between parent, template and worker: one JSON object per line.

Parent to template   Fork (with the worker's socket and log pipe passed along).
Template to parent   Ready, Forked or ForkFailed, Exited.
Parent to worker     Task: one per worker; a shared worker gets the next one when it rests.
Worker to parent     PhaseEntered, then Done or Raised; from a shared worker also Resting.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from rnnprof.runfile.codec import DecodeError, MalformedError, decode_json, encode_json
from rnnprof.runfile.points import Point
from rnnprof.runfile.study import Study
from rnnprof.workload import ScriptPlace, Workload

MAX_LINE_BYTES: Final = 16 << 20
"""A longer answer is invalid: the largest valid one, of a timing pass, is well under 1 MiB."""


NO_POINT: Final = Point(1, 1)
"""The point of a task that looks only at the device or the libraries."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The template has imported torch and can fork."""

    torch_version: str
    import_s: float


@dataclass(frozen=True, slots=True)
class Fork:
    """Fork a worker."""

    worker: int


@dataclass(frozen=True, slots=True)
class Forked:
    """The worker has started."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """The system refused the worker; *error_number* is the errno."""

    worker: int
    error_number: int


@dataclass(frozen=True, slots=True)
class Exited:
    """The worker has ended."""

    worker: int
    exit_code: int | None
    signal: int | None


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker is to do.

    Attributes:
        do: ``describe``, ``survey``, ``check``, ``rates``, ``fit``, ``memory``, ``timing``,
            ``gradient`` or ``training``.
        device: ``cpu``; ``cuda`` or ``cuda:N`` by torch's own numbering; once the GPU is known
            always ``cuda``.
        device_uuid: UUID of the only GPU that the worker sees.
        factory_path: file or module of the user's factory, and its function.
        secret_args: arguments of the factory that no record has.
        argv: the script's own words in ``sys.argv``, if no record has all of them.
        script: the user's script, with its placeholders; None for a cell or a factory.
        is_shared: whether its worker may have run other tasks, and waits for the next one.
        is_timed: whether a memory pass of a script goes on as a timing pass in the same process.
        limit_bytes: of a fit pass, above the baseline.
        predicted_bytes: what the memory model predicts for a fit pass; None without a prediction.
        guard_bytes: address space that no pass may exceed, so that the machine stays usable.
        confirm_steps: minimum of training steps in a fit pass. The default is 2: in the second
            step the optimizer's state exists. The memory pass measures what a step leaves behind.
        lengths: T of the mixed steps that end a fit pass at *time_steps*; empty for none.
        precision_ratio: half-width of the median's interval at which timing stops.
        study: of a gradient or training pass.
        train_steps: training steps before a gradient pass measures.
    """

    do: str
    workload: Workload
    point: Point = NO_POINT
    device: str = "cpu"
    device_uuid: str | None = None
    seed: int = 0
    factory_path: str | None = None
    secret_args: dict[str, Any] = field(default_factory=dict)
    argv: tuple[str, ...] | None = None
    script: ScriptPlace | None = None
    is_shared: bool = False
    is_timed: bool = False
    limit_bytes: int | None = None
    predicted_bytes: int | None = None
    guard_bytes: int | None = None
    confirm_steps: int = 2
    lengths: tuple[int, ...] = ()
    point_seconds: float = 2.0
    precision_ratio: float = 0.03
    study: Study | None = None
    train_steps: int = 0

    @property
    def args(self) -> dict[str, Any]:
        """The keyword arguments of the factory."""
        factory = self.workload.factory
        return {} if factory is None else {**factory.args, **self.secret_args}

    @property
    def words(self) -> tuple[str, ...]:
        """The script's own words in ``sys.argv``."""
        if self.argv is not None:
            return self.argv
        return () if self.workload.factory is None else self.workload.factory.argv


@dataclass(frozen=True, slots=True)
class PhaseEntered:
    """The worker's first step entered a phase."""

    phase: str


@dataclass(frozen=True, slots=True)
class Done:
    """The pass has ended; *findings* holds the fields of its observation."""

    findings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Raised:
    """The pass ended in an exception.

    Attributes:
        charged_bytes: bytes charged above the baseline when it was raised.
        bad_factory: the factory does not follow the protocol, so the user's input is the cause.
        findings: what was known by then.
    """

    error_type: str
    message: str
    phase: str
    charged_bytes: int | None = None
    limit_bytes: int | None = None
    bad_factory: bool = False
    findings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Resting:
    """A shared worker has let go of its task, and waits for the next one.

    Attributes:
        allocated_bytes, reserved_bytes: by the caching allocator, beyond those after the warm-up
            that preceded its first task.
    """

    allocated_bytes: int
    reserved_bytes: int

    @property
    def is_clean(self) -> bool:
        """Whether the next task finds the memory as the first one did."""
        return self.allocated_bytes == 0 == self.reserved_bytes


Message = (
    Ready | Fork | Forked | ForkFailed | Exited | Task | PhaseEntered | Done | Raised | Resting
)

_KINDS: Final[dict[str, type[Any]]] = {
    cls.__name__: cls
    for cls in (
        Ready,
        Fork,
        Forked,
        ForkFailed,
        Exited,
        Task,
        PhaseEntered,
        Done,
        Raised,
        Resting,
    )
}


def to_line(message: Message) -> bytes:
    """The message as one line of JSON, with its newline.

    Raises:
        ValueError: a float that is not finite.
    """
    return encode_json(message, kind=type(message).__name__) + b"\n"


@dataclass(frozen=True, slots=True)
class _Kind:
    """Only the kind of a line."""

    kind: Any = None


def from_line(line: bytes) -> Message:
    """Read a line.

    Raises:
        DecodeError: it is not a message; the text says why.
    """
    try:
        name = decode_json(_Kind, line).kind
    except MalformedError:
        raise DecodeError(f"not JSON: {line[:60]!r}") from None
    except DecodeError:
        raise DecodeError(f"not a message: {line[:60]!r}") from None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise DecodeError(f"not a message: {line[:60]!r}")
    return decode_json(kind, line, kind.__name__)  # type: ignore[no-any-return]
