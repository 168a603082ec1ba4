# SPDX-License-Identifier: Apache-2.0
"""One process of `test_ddp.py`: trains three steps whole, and again in two parts.

`ddp_worker.py FOLDER fsdp` shards the model as on GPUs. The trainer refuses that without any; here
accelerate is told that these CPU processes are such devices. `compiled` compiles the blocks.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from functools import partialmethod
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from torch.distributed.tensor import DTensor

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from synthetic import BoxSource

from syncam_engine.data.mixture import Mixture
from syncam_engine.preview.autoencoder import PatchAutoencoder, PatchAutoencoderConfig
from syncam_engine.training import trainer as trainer_module
from syncam_engine.training.config import TrainConfig
from syncam_engine.training.config_file import config_from_dict
from syncam_engine.training.multiview import MultiViewTask
from syncam_engine.training.processes import fsdp2_plugin, whole
from syncam_engine.training.trainer import Trainer

CONFIG = {
    "name": "ddp",
    "seed": 8,
    "data": {
        "sources": [{"kind": "rendered", "path": "unused"}],
        "views": 2,
        "frames": 5,
        "width": 64,
        "height": 32,
    },
    "phases": [{"until_step": 3, "stills": 0.5, "batch": 1, "stills_batch": 1}],
    "model": {
        "transformer": {
            "num_attention_heads": 2,
            "attention_head_dim": 16,
            "num_layers": 1,
            "ffn_dim": 48,
            "in_channels": 6,
            "text_dim": 32,
        }
    },
    "optim": {"learning_rate": 1e-3, "ema_decay": 0.9, "accumulation": 2},
    # What a machine without a GPU is found to be, as in the configs; with one, asked for.
    "run": {
        "device": "cpu" if torch.cuda.is_available() else "auto",
        "strategy": "ddp",
        "checkpoint_minutes": 0,
    },
}


def digest(trainer: Trainer) -> str:
    tensors = {k: whole(v) for k, v in trainer.net.state_dict().items()}
    joined = b"".join(tensors[k].detach().numpy().tobytes() for k in sorted(tensors))
    return hashlib.sha256(joined).hexdigest()


def make(folder: Path) -> Trainer:
    config = config_from_dict(TrainConfig, CONFIG, "")
    mixture = Mixture([(BoxSource(), 1.0)], seed=config.seed, width_px=64, height_px=32)
    task = MultiViewTask(config, mixture.sources[0][0].scenes)
    torch.manual_seed(1)
    task.autoencoder = PatchAutoencoder(PatchAutoencoderConfig(z_channels=6, width=16)).eval()
    return Trainer(config, task, mixture, folder)


def sharded_on_cpu() -> Accelerator:
    accelerator = Accelerator(cpu=True)
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = fsdp2_plugin()
    return accelerator


def main() -> None:
    torch.set_num_threads(1)
    out = Path(sys.argv[1])
    sharded = "fsdp" in sys.argv[2:]
    if "compiled" in sys.argv[2:]:
        CONFIG["run"]["compile"] = True
        torchs_own = torch.nn.Module.compile  # no C++ compiler is needed to see what was traced
        torch.nn.Module.compile = lambda part: torchs_own(part, backend="eager")
        # Gradients travel in several buckets, as those of a model of useful size do.
        copies = torch.nn.parallel.DistributedDataParallel
        copies.__init__ = partialmethod(copies.__init__, bucket_cap_mb=0.01)
    if sharded:
        trainer_module.make_accelerator = lambda config: sharded_on_cpu()
    rank = int(os.environ["RANK"])
    unbroken = make(out / "whole")
    result = unbroken.train()
    make(out / "parts").train(until=2)
    resumed = make(out / "parts")
    assert resumed.state.step == 2
    resumed.train()
    report = {
        "digest": digest(unbroken),
        "resumed_digest": digest(resumed),
        "losses": result.losses,
        "samples": unbroken.state.samples,
        "sharded": [name for name, p in unbroken.net.named_parameters() if isinstance(p, DTensor)],
        "held": sum(
            p.to_local().numel() if sharded else p.numel() for p in unbroken.net.parameters()
        ),
        "parameters": sum(p.numel() for p in unbroken.net.parameters()),
    }
    (out / f"rank{rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main()
