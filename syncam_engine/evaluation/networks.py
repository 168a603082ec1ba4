# SPDX-License-Identifier: Apache-2.0
"""The networks that some of the paper's scores need, none of them in this package.

Each is named on the command line, `--weights NAME=PLACE`: an id of the model hub or a folder in its
format, a file of tensors, or a TorchScript file. What was loaded is known by a digest of its
tensors, which stands beside every score that it gave.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from syncam_engine.link.errors import SynCamError

NOT_RUN = "not run with real weights: this way was tested with small random ones only"
"""Said beside every score of a network whose real weights this project has not run."""
RUN = {
    "f170d2751938a8dd89fe7fd454cb2bfb0337812dcd46ae2a363cf8d1dd1f9d87": "lpips-alex",
    "be62f16a57ee8c4793854cec874a9d1db43dd797e6ef3dd2f06c4a25a171e259": "lpips-vgg",
}
"""`digest_of` those that it has run, as `fetch.py` gets them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """One network: what it gives and where its weights are to be had."""

    gives: str
    place: str
    """What PLACE names, and the usual one."""


NETWORKS = {
    "clip": Network(
        gives="CLIP-T, CLIP-F, CLIP-V, VBench background consistency",
        place="hub id or folder of a CLIP model: openai/clip-vit-base-patch32",
    ),
    "dino": Network(
        gives="VBench subject consistency",
        place="hub id or folder of a DINO ViT: facebook/dino-vitb16",
    ),
    "aesthetic": Network(
        gives="VBench aesthetic quality (with a CLIP ViT-L/14 under clip-aesthetic)",
        place="file of LAION's linear head: sa_0_4_vit_l_14_linear.pth",
    ),
    "clip-aesthetic": Network(
        gives="the features under the aesthetic head",
        place="hub id or folder of a CLIP model: openai/clip-vit-large-patch14",
    ),
    "amt": Network(
        gives="VBench motion smoothness",
        place="TorchScript file of AMT-S: (frame N3HW in [0, 1], next frame) -> frame between",
    ),
    "musiq": Network(
        gives="VBench imaging quality",
        place="TorchScript file of MUSIQ-SPAQ: (picture N3HW in [0, 1]) -> 0 to 100",
    ),
    "lpips-alex": Network(
        gives="LPIPS (AlexNet)", place="file of torchvision's weights: alexnet-owt-7be5be79.pth"
    ),
    "lpips-vgg": Network(
        gives="LPIPS (VGG)", place="file of torchvision's weights: vgg16-397923af.pth"
    ),
    "efficientloftr": Network(
        gives="RotErr, TransErr and matches by a learned matcher",
        place="hub id or folder: zju-community/efficientloftr",
    ),
    "inception": Network(
        gives="FID", place="TorchScript file of the FID Inception-v3: inception-2015-12-05.pt"
    ),
    "i3d": Network(
        gives="FVD, FVD-V", place="TorchScript file of the Kinetics I3D: i3d_torchscript.pt"
    ),
}
OF_CLIPS = tuple(name for name in NETWORKS if name not in ("inception", "i3d"))
OF_SETS = ("inception", "i3d")


def named_weights(options: Sequence[str], allowed: Sequence[str]) -> dict[str, str]:
    """NAME=PLACE options as a table. Raises `SynCamError` for a name that is not `allowed`."""
    found: dict[str, str] = {}
    for option in options:
        name, equals, place = option.partition("=")
        if not equals or name not in allowed or not place:
            raise SynCamError(
                "option.weights",
                f"--weights {option} is not NAME=PLACE with a NAME of {', '.join(allowed)}.",
                value=option,
            )
        found[name] = place
    return found


def digest_of(module: nn.Module) -> str:
    """SHA-256 over names, shapes and values of a network's tensors."""
    total = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        plain = tensor.detach().cpu().contiguous()
        total.update(f"{name} {tuple(plain.shape)} {plain.dtype}\n".encode())
        total.update(plain.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def provenance(name: str, place: str, module: nn.Module, **how: Any) -> dict[str, Any]:
    """What stands beside a score of this network."""
    digest = digest_of(module)
    note = "" if digest in RUN else NOT_RUN
    return {"network": name, "weights": place, "digest": digest, "note": note, **how}


def from_hub(cls: Any, name: str, place: str) -> Any:
    """`cls.from_pretrained` of a folder or hub id. Raises `SynCamError` that names it."""
    try:
        return cls.from_pretrained(place)
    except (OSError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error)
        raise SynCamError(
            "weights.missing",
            f"The {name} weights {place} cannot be loaded: {first_line}",
            value=place,
            fix=f"Give --weights {name}=PLACE; {NETWORKS[name].place}",
        ) from error


def from_script(name: str, place: str) -> torch.jit.ScriptModule:
    """A TorchScript file. Raises `SynCamError` when it is missing or no such file."""
    path = _file(name, place)
    try:
        return torch.jit.load(str(path), map_location="cpu").eval()
    except RuntimeError as error:
        raise SynCamError(
            "weights.format", f"{path} is not a TorchScript file.", value=str(path)
        ) from error


def from_tensors(name: str, place: str) -> dict[str, Tensor]:
    """Tensors of a .safetensors or .pth file, never its code. Raises `SynCamError`."""
    path = _file(name, place)
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # pickles fail in a dozen ways
        raise SynCamError(
            "weights.format", f"{path} is not a file of tensors.", value=str(path)
        ) from error


def fill(module: nn.Module, tensors: dict[str, Tensor], name: str, place: str) -> nn.Module:
    """Load tensors by name into a network; those that it has not are left. Raises `SynCamError`."""
    wanted = module.state_dict()
    for key, own in wanted.items():
        if key not in tensors or tensors[key].shape != own.shape:
            raise SynCamError(
                "weights.mismatch",
                f"{place} does not fit the {name} network: {key} is "
                + ("missing." if key not in tensors else f"{tuple(tensors[key].shape)}."),
                value=key,
            )
    module.load_state_dict({key: tensors[key] for key in wanted})
    return module.eval().requires_grad_(False)


def _file(name: str, place: str) -> Path:
    path = Path(place).expanduser()
    if not path.is_file():
        raise SynCamError(
            "weights.missing",
            f"The {name} weights {path} are not there.",
            value=str(path),
            fix=f"Give --weights {name}=PLACE; {NETWORKS[name].place}",
        )
    return path
