"""``python -P -m rnnprof.worker CONTROL_FD PARENT_PID``: the template that forks workers."""

import ctypes
import os
import signal
import sys

ADDR_NO_RANDOMIZE = 0x0040000  # <linux/personality.h>
ASKED = "RNNPROF_ADDRESSES_ASKED"

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def fix_addresses() -> None:
    """Restart the interpreter without address randomisation, where the system allows it.

    The start address of the heap changes by some hundred KiB what a process takes, and near a
    small limit the largest batch.  Without randomisation two templates agree.
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
    fix_addresses()  # before: what is ignored stays so in the restarted interpreter
    # a stop is for the parent, and the template ends with it; a worker gets the handlers back
    handlers = {int(number): signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
    from rnnprof.worker.template import run_template

    run_template(int(sys.argv[1]), int(sys.argv[2]), handlers)
