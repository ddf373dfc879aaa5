"""``python -P -m rnnprof.worker CONTROL_FD PARENT_PID``: the template that forks workers."""

import sys

from rnnprof.worker.template import run_template

run_template(int(sys.argv[1]), int(sys.argv[2]))
