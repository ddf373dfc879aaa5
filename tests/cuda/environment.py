"""Make the environment of the CUDA tests: torch's CUDA build, and all else from the main one.

    python tests/cuda/environment.py MAIN FOLDER

No driver and none of NVIDIA's libraries is needed: the tests run on a simulated GPU.  Where torch's
CUDA build cannot be had, the reason is left in FOLDER/missing, and the tests skip with it.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

TORCH = "torch==2.14.1"

CUDA_BUILD = "import sys, torch; sys.exit(torch.version.cuda is None)"


def main() -> None:
    main_folder, folder = map(Path, sys.argv[1:])
    venv.create(folder, with_pip=True, clear=True)
    own = next((folder / "lib").glob("python*/site-packages"))
    theirs = next((main_folder / "lib").glob("python*/site-packages")).resolve()
    # its .pth files are heeded too, rnnprof's own among them; what stands here comes first
    (own / "main.pth").write_text(f"import site; site.addsitedir({str(theirs)!r})\n")
    if subprocess.run([main_folder / "bin" / "python", "-c", CUDA_BUILD], check=False).returncode:
        install(folder)


def install(folder: Path) -> None:
    """Torch alone: what it needs beside NVIDIA's libraries is in the main environment."""
    ended = subprocess.run(
        [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", TORCH],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        (folder / "missing").write_text(f"torch's CUDA build cannot be had: {last}\n")


if __name__ == "__main__":
    main()
