"""Programs that start a script in another way than Python does: why not, and what to write."""

from __future__ import annotations

from typing import Final

_SEVERAL: Final = (
    "starts several processes, and rnnprof measures one (--ranks will do that): give what one of "
    "them runs, -- python train.py ..."
)
_ENVIRONMENT: Final = (
    "chooses the environment, and rnnprof has to run in it: write it before rnnprof, {words} "
    "rnnprof ... -- python train.py ..."
)
_BEFORE: Final = "starts another program: write it before rnnprof, {words} rnnprof ..."
_CLUSTER: Final = (
    "starts processes on a cluster, and rnnprof measures one: write it before rnnprof, for one "
    "process: {words} rnnprof ... -- python train.py ..."
)
_SHELL: Final = (
    "is a shell: give what it runs in the end, -- python train.py ...; commands before it go to "
    "--setup (once) or --prepare (before each start)"
)
_NOTEBOOK: Final = (
    "is for notebooks and prompts: write the notebook as a script with `jupyter nbconvert --to "
    "script NAME.ipynb`, and give -- python NAME.py"
)
_AROUND: Final = "runs a script inside itself: give the script alone, -- python train.py ..."
_TESTS: Final = "runs tests: give a training script, or use rnnprof.assert_fits in a test"
_CONTAINER: Final = "starts a container: run rnnprof inside it"

LAUNCHERS: Final = {
    **dict.fromkeys(("torchrun", "deepspeed", "horovodrun", "torchx"), _SEVERAL),
    "accelerate": _SEVERAL,
    **dict.fromkeys(("bash", "sh", "dash", "zsh", "fish", "ksh", "make"), _SHELL),
    **dict.fromkeys(("uv", "poetry", "conda", "mamba", "micromamba", "pipenv", "hatch", "pdm",
                     "pixi", "rye"), _ENVIRONMENT),
    **dict.fromkeys(("srun", "sbatch", "salloc", "mpirun", "mpiexec", "qsub", "bsub"), _CLUSTER),
    "env": "sets variables: write --env NAME=VALUE before -- for each, and then -- python "
           "train.py ...",
    **dict.fromkeys(("nohup", "time", "nice", "ionice", "taskset", "numactl", "timeout", "stdbuf",
                     "setsid", "sudo", "nsys", "ncu", "strace", "xvfb-run"), _BEFORE),
    **dict.fromkeys(("jupyter", "ipython", "ipython3", "papermill", "jupyter-nbconvert"),
                    _NOTEBOOK),
    **dict.fromkeys(("pytest", "tox", "nox"), _TESTS),
    **dict.fromkeys(("docker", "podman", "singularity", "apptainer"), _CONTAINER),
}  # fmt: skip
"""By the program's name."""

MODULES: Final = {
    "torch.distributed.run": _SEVERAL,
    "torch.distributed.launch": _SEVERAL,
    "accelerate.commands.launch": _SEVERAL,
    "deepspeed": _SEVERAL,
    "deepspeed.launcher.runner": _SEVERAL,
    **dict.fromkeys(("cProfile", "profile", "pdb", "trace", "runpy", "debugpy", "coverage",
                     "kernprof", "line_profiler", "memory_profiler", "memray", "scalene",
                     "pyinstrument", "torch.utils.bottleneck"), _AROUND),
    **dict.fromkeys(("IPython", "jupyter", "notebook"), _NOTEBOOK),
    **dict.fromkeys(("pytest", "unittest"), _TESTS),
}  # fmt: skip
"""By the module after ``python -m``."""

_OWN_WORDS: Final = {
    "uv": "uv run", "poetry": "poetry run", "conda": "conda run -n NAME", "srun": "srun --ntasks=1",
    "mpirun": "mpirun -n 1", "mpiexec": "mpiexec -n 1", "pipenv": "pipenv run", "pdm": "pdm run",
    "hatch": "hatch run", "pixi": "pixi run", "rye": "rye run", "mamba": "mamba run -n NAME",
    "micromamba": "micromamba run -n NAME",
}  # fmt: skip


def refusal(name: str) -> str | None:
    """Why a program cannot start the script, and what to do; None for one that is not known."""
    why = LAUNCHERS.get(name)
    return None if why is None else f"{name} {why.format(words=_OWN_WORDS.get(name, name))}"


def refusal_of_module(module: str) -> str | None:
    """The same for ``python -m``."""
    why = MODULES.get(module)
    return None if why is None else f"python -m {module} {why}"
