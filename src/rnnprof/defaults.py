"""Names and default values that the records and the command line share.

The help of a command shows them, so this module imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # not imported from typing: see the package's own module
if TYPE_CHECKING:
    from typing import Final

COMMANDS: Final = ("profile", "max-batch", "fits", "trainability")
"""What an invocation that writes to a run file does; ``fits`` is a part of ``rnnprof check``."""

# ---- what is trained

CELLS: Final = ("rnn-tanh", "rnn-relu", "lstm", "gru")
IMPLS: Final = ("fused", "native", "loop")
DTYPES: Final = ("fp32", "fp32-ieee", "tf32", "bf16", "fp16", "amp-bf16", "amp-fp16")
OPTIMIZERS: Final = ("none", "sgd", "adam", "adamw")
MODES: Final = ("train", "inference")
LOOPS: Final = ("plain", "function")

CELL: Final = "lstm"
IMPL: Final = "fused"
INPUT_SIZE: Final = 256
HIDDEN_SIZE: Final = 512
LAYERS: Final = 1
DROPOUT: Final = 0.0
PROJ_SIZE: Final = 0
DTYPE: Final = "fp32"
OPTIMIZER: Final = "adam"
MODE: Final = "train"
LOOP: Final = "plain"

# ---- how points are measured and the largest batch is proven

PROCESSES: Final = 1
SEED: Final = 0
CONFIRM_STEPS: Final = 10
CONFIRM: Final = 1
GRANULARITY: Final = 1
AT_MOST: Final = 65536

FIRST_UNITS: Final = 16
"""The first batch of a search if nothing is known, in units of the granularity: small enough to
fit, large enough to be informative."""

# ---- how trainability is measured

TASKS: Final = ("adding", "copy")
RATE_RULES: Final = ("fixed", "sqrt", "linear")

TASK: Final = "adding"
TRAIN_STEPS: Final = 200
DRAWS: Final = 20
SMALL_BATCH: Final = 16
PARTS: Final = 8
LEARNING_RATE: Final = 1e-3
RATE_RULE: Final = "fixed"
RATE_BATCH: Final = 32
SEEDS: Final = 3
TRAIN_SECONDS: Final = 60.0
EVALUATE_EVERY: Final = 20

NEAR_BEST_RATIO: Final = 0.05
"""A smaller batch that loses less throughput than this is as good, with less memory and more
optimizer steps per epoch."""
