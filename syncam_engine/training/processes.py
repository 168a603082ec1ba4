# SPDX-License-Identifier: Apache-2.0
"""The processes of a run: one, data-parallel copies (DDP), or shards of one model (FSDP2).

Under FSDP2 every parameter is a DTensor of which a process holds a part. What is written to disk is
always whole, so that a checkpoint moves freely between the strategies. `whole`, `part_of` and
`whole_of` are collective there: every process must call them.
"""

from __future__ import annotations

import os
from typing import Any

import torch
from accelerate import Accelerator, FullyShardedDataParallelPlugin
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

from syncam_engine.link.errors import SynCamError
from syncam_engine.training.config import TrainConfig

SHARDED_BLOCK = "MultiViewWanBlock"
"""Blocks whose parameters are gathered together, one block at a time."""


def make_accelerator(config: TrainConfig) -> Accelerator:
    """The processes and device that the config asks for; refuses what the machine has not."""
    run = config.run
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if run.device == "cuda" and not torch.cuda.is_available():
        raise SynCamError(
            "strategy.device", "The training config asks for cuda; this machine has no usable GPU."
        )
    if run.strategy == "fsdp" and (run.device == "cpu" or not torch.cuda.is_available()):
        raise SynCamError(
            "strategy.device",
            "The training config asks for fsdp, which shards a model over GPUs; "
            + ("it also asks for the cpu." if run.device == "cpu" else "this machine has none."),
            fix="Set run.strategy to ddp",
        )
    if run.strategy in ("ddp", "fsdp") and world < 2:
        raise SynCamError(
            "strategy.processes",
            f"The training config asks for {run.strategy}; this run has one process.",
            fix="Start it with `torchrun --nproc-per-node N -m syncam_engine.cli train`",
        )
    if run.strategy == "single" and world > 1:
        raise SynCamError(
            "strategy.processes",
            f"The training config asks for a single process; {world} were started.",
            fix="Set run.strategy to ddp",
        )
    accelerator = Accelerator(
        # Unless it is told so, accelerate starts no process group on a machine without a GPU.
        cpu=run.device == "cpu" or not torch.cuda.is_available(),
        mixed_precision="bf16" if run.precision == "bf16" else "no",
        fsdp_plugin=fsdp2_plugin() if run.strategy == "fsdp" else None,
    )
    if accelerator.num_processes != world:
        raise SynCamError(
            "strategy.processes",
            f"{world} processes were started and {accelerator.num_processes} found each other.",
            fix="Start them with `torchrun --nproc-per-node N -m syncam_engine.cli train`",
        )
    return accelerator


def fsdp2_plugin() -> FullyShardedDataParallelPlugin:
    """FSDP2 (`fully_shard`) by block; parameters are freed again after a block's forward."""
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        transformer_cls_names_to_wrap=[SHARDED_BLOCK],
        reshard_after_forward=True,
        # Every process builds the same start from the seed or the file: nothing is sent around.
        cpu_ram_efficient_loading=False,
        state_dict_type="FULL_STATE_DICT",
    )


def prepare(
    accelerator: Accelerator, net: nn.Module, optimizer: torch.optim.Optimizer
) -> nn.Module:
    """The model to call. FSDP2 shards the net in place, and the optimiser's groups with it."""
    if not accelerator.is_fsdp2:
        return accelerator.prepare_model(net)
    model, _ = accelerator.prepare(net, optimizer)
    return model


def whole(tensor: Tensor) -> Tensor:
    """The tensor itself, or all of a sharded one."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: Tensor) -> Tensor:
    """The tensor itself, or the part of a sharded one that this process holds."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def part_of(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Of a whole tensor, what this process holds of the parameter of that shape."""
    return own_part(_like(tensor, parameter))


def whole_of(part: Tensor, parameter: Tensor) -> Tensor:
    """The whole tensor whose parts the processes hold as they hold the parameter."""
    if not isinstance(parameter, DTensor):
        return part
    return DTensor.from_local(
        part,
        parameter.device_mesh,
        parameter.placements,
        shape=parameter.shape,
        stride=parameter.stride(),
    ).full_tensor()


def whole_optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """`optimizer.state_dict()` with whole tensors."""
    document = optimizer.state_dict()
    state = {
        index: {k: whole(v) if isinstance(v, Tensor) else v for k, v in entry.items()}
        for index, entry in document["state"].items()
    }
    return {**document, "state": state}


def load_optimizer_state(optimizer: torch.optim.Optimizer, document: dict[str, Any]) -> None:
    """Load what `whole_optimizer_state` gave, whatever the strategy was then."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state = {
        index: {
            # AdamW's count of steps is a number, the moments have the parameter's shape.
            k: _like(v, parameters[index]) if isinstance(v, Tensor) and v.ndim else v
            for k, v in entry.items()
        }
        for index, entry in document["state"].items()
    }
    # The config's own options hold (weight decay, betas): they may change between sessions.
    groups = [
        {**group, "params": saved["params"]}
        for group, saved in zip(optimizer.param_groups, document["param_groups"], strict=True)
    ]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _like(tensor: Tensor, parameter: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor):
        return tensor
    there = tensor.to(parameter.device)
    return distribute_tensor(there, parameter.device_mesh, parameter.placements)
