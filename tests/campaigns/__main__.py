"""Every campaign at full size, one after the other.

    python -m campaigns [--only NAME]

Ends with 1 if one of them found a failure.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from typing import Final

CAMPAIGNS: Final[dict[str, tuple[str, ...]]] = {
    "run_files": (),
    "hostile_text": ("--report",),
    "toml_inputs": (),
    "surroundings": ("--measure",),
    "signals": (),
    "faults": ("--kills", "0", "--interrupts", "0"),
}
"""Each with its arguments; ``signals`` has the stops of ``faults``, and more."""


def run(name: str) -> bool:
    """Run a campaign in a process of its own; whether it found nothing."""
    began_s = time.monotonic()
    print(f"== {name}", flush=True)
    command = [sys.executable, "-m", f"campaigns.{name}", *CAMPAIGNS[name]]
    code = subprocess.run(command, check=False).returncode
    print(f"{name}: exit {code} in {time.monotonic() - began_s:.0f} s", flush=True)
    return code == 0


def main() -> int:
    """Run those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="campaigns whose name contains this")
    wanted = parser.parse_args().only
    found_nothing = [run(name) for name in CAMPAIGNS if wanted in name]
    return 0 if all(found_nothing) else 1


if __name__ == "__main__":
    sys.exit(main())
