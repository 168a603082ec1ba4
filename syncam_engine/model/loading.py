# SPDX-License-Identifier: Apache-2.0
"""From a preset to the three networks in memory: transformer, autoencoder, text encoder.

The preset's kind (`kinds.py`) knows its files. Every file is checked by its header before memory is
taken; each refusal is one sentence.
"""

from __future__ import annotations

from pathlib import Path

import torch

from syncam_engine.model.interfaces import Autoencoder
from syncam_engine.model.kinds import kind_of
from syncam_engine.model.parts import OnProgress, Parts
from syncam_engine.model.presets import Preset
from syncam_engine.model.registry import KINDS, named
from syncam_engine.model.weight_files import read_header


def load_parts(
    preset: Preset,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    on_progress: OnProgress | None = None,
) -> Parts:
    """Return a preset's networks. Raises SynCamError ("weights.*") before memory is taken."""
    say = on_progress or (lambda fraction, text: None)
    return kind_of(preset).load_parts(preset, device, dtype, say)


def check_files(preset: Preset) -> list[str]:
    """Return one line a weight file of a preset, all of them there and whole; no download.

    Raises SynCamError for the first that is not.
    """
    files = kind_of(preset).check_files(preset)
    return [f"{path}: {read_header(path).parameters:,} parameters, whole" for path in files]


def load_autoencoder(folder: Path, device: torch.device) -> tuple[Autoencoder, Path]:
    """Return the frozen autoencoder in a folder, of whichever kind it is, and its weight file.

    Raises SynCamError where there is none.
    """
    kinds = [named(module) for module in KINDS.values()]
    there = (kind for kind in kinds if (folder / kind.AUTOENCODER_FILE).is_file())
    kind = next(there, kinds[-1])
    return kind.load_autoencoder(folder, device), folder / kind.AUTOENCODER_FILE
