"""Facts of the machine that identify a run: an allow-list, without user or host name."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from rnnprof.device.process import machine_memory_bytes, usable_processors


def machine_facts() -> dict[str, Any]:
    """Facts that do not change between two runs on the same machine."""
    return {
        "device_name": processor_name(),
        "processors": usable_processors(),
        "machine_memory_bytes": machine_memory_bytes()[0],
        "architecture": platform.machine(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's own name, or the architecture if it has none."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine()
