"""What a figure says of where it was made, without naming the machine."""

import os
import platform
from pathlib import Path
from typing import Any

import torch


def machine(**more: Any) -> dict[str, Any]:
    """The processor, the cores this process is held to, torch and the load when it is asked; and `more`."""
    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": models[0].partition(":")[2].strip() if models else platform.processor() or platform.machine(),
        "cores": cores,
        "load_before": round(os.getloadavg()[0], 2),
        "torch": torch.__version__,
        **more,
    }
