"""``python -P -m rnnprof.worker CONTROL_FD PARENT_PID``: the template that forks workers."""

import ctypes
import os
import sys

ADDR_NO_RANDOMIZE = 0x0040000  # <linux/personality.h>
ASKED = "RNNPROF_ADDRESSES_ASKED"


def fix_addresses() -> None:
    """Begin again without address randomisation, where the system allows it.

    Where the heap begins decides by some hundred KiB what a process takes, and so, near a small
    limit, which batch is the largest: two templates then agree.
    """
    if not sys.platform.startswith("linux") or os.environ.pop(ASKED, ""):
        return
    personality = ctypes.CDLL(None).personality
    now = personality(0xFFFFFFFF)
    if now == -1 or now & ADDR_NO_RANDOMIZE or personality(now | ADDR_NO_RANDOMIZE) == -1:
        return
    os.environ[ASKED] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


if __name__ == "__main__":
    fix_addresses()
    from rnnprof.worker.template import run_template

    run_template(int(sys.argv[1]), int(sys.argv[2]))
