"""Runtime settings of a model in training and inference: seeds, device, memory layout and precision."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn

from g3d.config import TrainConfig
from g3d.errors import EnvironmentProblem

log = logging.getLogger(__name__)


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seed Python, NumPy and torch with `seed + rank`, so that each process draws different numbers."""
    random.seed(seed + rank)
    np.random.seed((seed + rank) % 2**32)
    torch.manual_seed(seed + rank)


def random_states() -> dict[str, Any]:
    """Return the random states of Python, NumPy, torch and CUDA as plain data."""
    kind, keys, position, has_gauss, cached = np.random.get_state()
    version, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached],
        "python": [version, list(words), gauss],
    }


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Restore the states that `random_states` returned; those of CUDA only if the number of devices is the same."""
    torch.set_rng_state(states["torch"])
    if torch.cuda.is_available() and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))


def place(
    model: nn.Module, settings: TrainConfig, device: torch.device, layout: torch.memory_format | None
) -> nn.Module:
    """Move a network to its device and return it. On CUDA, also allow or forbid TF32.

    Args:
        model: the network.
        settings: `settings.tf32` says whether matrix products and convolutions on CUDA may use TF32.
        device: the device.
        layout: memory layout of 4-D parameters and buffers, which the system chooses; None keeps it. All other tensors
            keep their layout, since channels_last exists for 4-D tensors only.
    """
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = settings.tf32
        torch.backends.cudnn.allow_tf32 = settings.tf32
    model = model.to(device)
    if layout is not None:
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.dim() == 4:
                tensor.data = tensor.data.contiguous(memory_format=layout)
    return model


def autocast(settings: TrainConfig, device: torch.device) -> AbstractContextManager:
    """Return a bf16 autocast context if the preset asks for it, otherwise a context that does nothing."""
    return torch.autocast(device.type, torch.bfloat16) if settings.precision == "bf16" else nullcontext()


@contextmanager
def explained_out_of_memory(settings: TrainConfig) -> Iterator[None]:
    """Convert an out-of-memory error of the device to an EnvironmentProblem that names settings to change."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise EnvironmentProblem(
            f"out of memory on the device: {str(error).splitlines()[0]}",
            f"try --set train.precision=bf16, --set train.accumulate={settings.accumulate * 2}, or a smaller "
            f"--set train.batch",
        ) from error
