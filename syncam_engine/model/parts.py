# SPDX-License-Identifier: Apache-2.0
"""A preset's networks in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from syncam_engine.model.interfaces import Autoencoder, Sharpener, TextEncoder
from syncam_engine.model.transformer import MultiViewWanTransformer

OnProgress = Callable[[float, str], None]
"""(fraction 0 to 1, what is going on)."""


@dataclass
class Parts:
    """A preset's networks, on one device, in evaluation mode."""

    transformer: MultiViewWanTransformer
    autoencoder: Autoencoder
    text_encoder: TextEncoder
    digest: str
    sharpener: Sharpener | None = None
    """What a guided clip's pictures go through after decoding, where the preset has one."""
    offload_hooks: list[Any] = field(default_factory=list)
    """Under model offload: what moves a network away again."""
