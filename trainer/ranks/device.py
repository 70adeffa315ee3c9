"""Where and how exactly a rank computes: device by local rank, bf16 where the hardware multiplies in it, determinism."""

import os
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.private_torch import cpu_multiplies_in_bf16
from nightrank.trainer.config.training import TrainerConfig


@dataclass(frozen=True)
class Device:
    torch_device: torch.device
    bf16: bool

    def autocast(self) -> torch.autocast:
        """bf16 for matrix products where the hardware has it; weights and sums stay fp32."""
        return torch.autocast(self.torch_device.type, dtype=torch.bfloat16, enabled=self.bf16)


def choose_device(config: TrainerConfig, local_rank: int) -> Device:
    """ConfigError where the configuration asks for a GPU that is not there."""
    name = config.device if config.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise ConfigError(
                f"local rank {local_rank} finds {torch.cuda.device_count()} CUDA devices",
                "set trainer.workers to the number of GPUs, or trainer.device=cpu",
            )
        torch.cuda.set_device(local_rank)
        device = torch.device("cuda", local_rank)
    else:
        device = torch.device("cpu")
    chosen = config.precision == "bf16" or config.optimizer.name == "anyprecision_adamw"
    return Device(device, chosen or (config.precision == "auto" and multiplies_in_bf16(device)))


def multiplies_in_bf16(device: torch.device) -> bool:
    """True where bf16 products are native: Ampere and later, or a CPU with AVX512_BF16 or AMX (seen 3 to 7 times fp32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_multiplies_in_bf16()


def make_deterministic(device: Device, threads: int | None = None) -> None:
    """The same inputs give the same bits on this machine with this number of threads; None: as OMP_NUM_THREADS says, or one.

    On CUDA an operation without a deterministic form only warns: a slower night is better than none.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Not `use_deterministic_algorithms`, which imports the compiler stack for its own settings.
    torch.set_deterministic_debug_mode("warn" if device.torch_device.type == "cuda" else "error")
    torch.backends.cudnn.benchmark = False
    deterministic: Any = torch.utils.deterministic
    deterministic.fill_uninitialized_memory = False
    torch.set_num_threads(threads or int(os.environ.get("OMP_NUM_THREADS", "1")))


def choose_attention(model: nn.Module, device: Device) -> None:
    """Hugging Face parts take attention as plain products where that is faster, which is on a CPU in bf16: there torch's fused
    kernel takes two and a half to seven times as long forward and backward (`benchmarks.attention`). Elsewhere the kernel
    stays."""
    if device.bf16 and device.torch_device.type == "cpu":
        for module in model.modules():
            if hasattr(module, "set_attn_implementation"):
                use: Any = module.set_attn_implementation
                use("eager")
