"""What to do about an error that the user's code raised because it runs in a worker."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rnnprof.worker.workload.location import text_of
from rnnprof.workload import ScriptPlace


def hint_for(error: BaseException, factory_path: str | None, device: str) -> str:
    """One sentence on what to do; empty where nothing is known.

    Args:
        factory_path: ``file.py:function`` or ``module:function``; None for a built-in cell.
        device: of the task.
    """
    if factory_path is None:
        return ""
    source = factory_path.rpartition(":")[0]
    if isinstance(error, SystemExit):
        return _of_exit(error, Path(source).name)
    if isinstance(error, EOFError):
        return "a worker has no keyboard, so input() fails: pass the value with --factory-arg"
    if isinstance(error, ModuleNotFoundError):
        return _of_missing_module(error)
    if isinstance(error, FileNotFoundError):
        return _of_missing_file(error)
    said = text_of(error)
    if isinstance(error, ImportError) and "relative import" in said:
        return _of_relative_import(factory_path)
    if device == "cpu" and re.search(NEEDS_CUDA, said):
        return (
            "this run is on the CPU: use the factory's argument device in place of 'cuda', or give "
            "--device cuda on a machine with a GPU"
        )
    return _by_text(BY_TEXT, said)


def _by_text(hints: Mapping[str, str], said: str) -> str:
    return next((hint for pattern, hint in hints.items() if re.search(pattern, said)), "")


def hint_for_script(error: BaseException, script: ScriptPlace, device: str) -> str:
    """The same for a training script that is run as it is."""
    if isinstance(error, EOFError):
        return "a script gets no keyboard, so input() fails: give the value by its own options"
    if isinstance(error, ModuleNotFoundError):
        return _of_missing_module(error)
    if isinstance(error, FileNotFoundError):
        return _of_missing_file(error)
    said = text_of(error)
    if isinstance(error, ImportError) and "relative import" in said and not script.is_module:
        return _run_as_module(Path(script.target))
    if device == "cpu" and re.search(NEEDS_CUDA, said):
        return (
            "this run is on the CPU: give the script its own option for the CPU, or rnnprof "
            "--device cuda on a machine with a GPU"
        )
    if re.search(r"MASTER_ADDR|RANK expected|init_process_group", said):
        return (
            "the script expects torchrun's variables: one process is measured; leave its "
            "distributed mode off"
        )
    return next(
        (hint for pattern, hint in BY_TEXT_OF_SCRIPT.items() if re.search(pattern, said)), ""
    )


def _run_as_module(path: Path) -> str:
    folder, name = _package_of(path)
    return f"a file of a package is run as a module: -- python -m {name}, from the folder {folder}"


MAIN_GUARD: Final = '`if __name__ == "__main__":`'

NEEDS_CUDA: Final = (
    r"Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available"
    r"|CUDA is not available|torch\.cuda\.is_available\(\) is False"
)

BY_TEXT: Final = {
    r"context has already been set": (
        "set_start_method() can be called once in a process: add force=True, or move it under "
        f"{MAIN_GUARD}"
    ),
    r"finished its\s+bootstrapping phase": (
        "a process that starts by spawn loads the script again: move what starts processes under "
        f"{MAIN_GUARD} or into the factory"
    ),
    r"[Cc]an't (pickle|get (local )?(attribute|object))": (
        "a DataLoader that starts workers by spawn pickles the dataset and its functions: define "
        "them at the top level of the file, or give num_workers=0"
    ),
    r"DataLoader worker .* exited unexpectedly": "num_workers=0 shows the error itself",
    r"initialize the default process group twice|EADDRINUSE|address already in use": (
        "the factory runs once in each process: do not start the group when the file is loaded as "
        "well, and take a free port (MASTER_PORT)"
    ),
}
"""Texts of errors of Python and torch, and what to do about each."""


BY_TEXT_OF_SCRIPT: Final = {
    r"finished its\s+bootstrapping phase": (
        "a process that starts by spawn reads the script again: move what starts processes under "
        f"{MAIN_GUARD}"
    ),
    r"DataLoader worker .* exited unexpectedly": "num_workers=0 shows the error itself",
    r"(?i)batch.*(multiple of|divisible by|power of)": (
        "--granularity N searches the multiples of N; -B names the batches of a grid"
    ),
}
"""The same for scripts, where it is not what Python itself says of them."""


def _of_exit(error: SystemExit, name: str) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    if any(Path(frame.filename).name == "argparse.py" for frame in frames):
        return (
            f"{name} reads its own command line: give it its options with --factory-argv "
            '"--option value", or read them under '
            f"{MAIN_GUARD}"
        )
    if any(frame.name == "<module>" and Path(frame.filename).name == name for frame in frames):
        return "a script that is loaded must not end Python: move that under " + MAIN_GUARD
    return "a worker that ends gives no answer: raise an exception in place of sys.exit()"


def _of_missing_module(error: ModuleNotFoundError) -> str:
    package, _, rest = (error.name or "").rpartition(".")
    file = getattr(sys.modules.get(package), "__file__", None)
    if package and file is not None:
        return f"there is no {rest!r} in the package {package}, which is in {Path(file).parent}"
    folders = ", ".join(dict.fromkeys(sys.path[:2]))
    return (
        f"the workers run {sys.executable} and look first in {folders}: install "
        f"{(error.name or 'it').partition('.')[0]} there, or put its folder on PYTHONPATH"
    )


def _of_missing_file(error: FileNotFoundError) -> str:
    name = error.filename
    if not isinstance(name, str) or Path(name).is_absolute():
        return ""
    return f"a relative path starts at the folder of the command, {Path.cwd()}"


def _of_relative_import(factory_path: str) -> str:
    source, _, function = factory_path.rpartition(":")
    if not source.endswith(".py"):
        return ""
    folder, name = _package_of(Path(source))
    return (
        f"a file of a package is given as a module: --factory {name}:{function}, from the folder "
        f"{folder}"
    )


def _package_of(path: Path) -> tuple[Path, str]:
    """The folder that a file's package lies in, and the file's name as a module from there."""
    path = path.resolve()
    folder, parts = path.parent, [path.stem]
    parts.insert(0, folder.name)
    while (folder / "__init__.py").is_file() and (folder.parent / "__init__.py").is_file():
        folder = folder.parent
        parts.insert(0, folder.name)
    return folder.parent, ".".join(parts)
