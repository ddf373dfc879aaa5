"""A clock that does not go forward: virtual machines that are moved have had one."""

from __future__ import annotations


class ClockError(RuntimeError):
    """No duration is known."""

    def __init__(self) -> None:
        super().__init__("the machine's clock stands still or goes back: no time is known")
