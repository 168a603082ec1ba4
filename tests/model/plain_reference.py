# SPDX-License-Identifier: Apache-2.0
"""The network written a second time, straight from the equations: loops over scenes, views and
frames, full softmax matrices, no batching, nothing shared with the product but the weights' names.

`mutation` breaks one thing on purpose, to show that the comparison would notice.

Shape legend: C channels, F latent frames, H, W latent rows and columns, N = F x S tokens of a view,
S = h x w, D width, L text tokens.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MUTATIONS = ("cameras_swapped", "rope_without_views", "gate_off", "mvs_after_cross_attention")


def plain_forward(
    weights: dict[str, Tensor],
    config,
    z_BVCFHW: Tensor,
    t_BV: Tensor,
    text_BLD: Tensor,
    mask_BL: Tensor | None,
    cameras_BVFSR: Tensor,
    pattern_FhKK: Tensor | None = None,
    mutation: str | None = None,
) -> Tensor:
    """Return the prediction [B, V, C, F, H, W]."""
    if mutation == "cameras_swapped":
        cameras_BVFSR = cameras_BVFSR.flip(1)
    scenes = []
    for b in range(len(z_BVCFHW)):
        text = text_tokens(weights, text_BLD[b])
        visible = None if mask_BL is None or not config.mask_text else mask_BL[b]
        scenes.append(
            _scene(
                weights,
                config,
                z_BVCFHW[b],
                t_BV[b],
                text,
                _mean_text(weights, text_BLD[b], None if mask_BL is None else mask_BL[b]),
                visible,
                cameras_BVFSR[b],
                pattern_FhKK,
                mutation,
            )
        )
    return torch.stack(scenes)


def _mean_text(weights, raw_LD: Tensor, visible_L: Tensor | None) -> Tensor | float:
    """Return what the mean of the prompt's tokens adds to the time's embedding."""
    if "text_pooler.weight" not in weights:
        return 0.0
    seen = [row for k, row in enumerate(raw_LD) if visible_L is None or visible_L[k]]
    return linear(weights, "text_pooler", sum(seen) / len(seen))


def _scene(
    weights, config, z_VCFHW, t_V, text_LD, mean_D, visible_L, cameras_VFSR, pattern_FhKK, mutation
):
    views, channels, frames, rows, columns = z_VCFHW.shape
    h, w = rows // 2, columns // 2
    x = [patches(weights, z) for z in z_VCFHW]
    time = [time_embedding(weights, config, t, mean_D) for t in t_V]
    for index in range(config.num_layers):
        p = f"blocks.{index}."
        table = weights[p + "scale_shift_table"][0]
        for v in range(views):
            shift, scale, gate = (table[k] + time[v][1][k] for k in (0, 1, 2))
            normed = layer_norm(x[v], config.eps) * (1 + scale) + shift
            angles = positions(frames, h, w, config.attention_head_dim)
            x[v] = x[v] + gate * attention(weights, p + "attn1.", config, normed, normed, angles)
        steps = [_mvs, _cross]
        if mutation == "mvs_after_cross_attention":
            steps.reverse()
        for step in steps:
            x = step(
                weights, config, p, x, time, text_LD, visible_L, cameras_VFSR, pattern_FhKK,
                (frames, h, w), mutation,
            )  # fmt: skip
        for v in range(views):
            shift, scale, gate = (table[k] + time[v][1][k] for k in (3, 4, 5))
            normed = layer_norm(x[v], config.eps) * (1 + scale) + shift
            hidden = gelu(linear(weights, p + "ffn.net.0.proj", normed))
            x[v] = x[v] + gate * linear(weights, p + "ffn.net.2", hidden)
    out = []
    for v in range(views):
        shift, scale = (weights["scale_shift_table"][0][k] + time[v][0] for k in (0, 1))
        last = layer_norm(x[v], config.eps) * (1 + scale) + shift
        picture = _unpatched(linear(weights, "proj_out", last), channels, frames, rows, columns)
        if getattr(config, "refiner_width", 0):
            told = linear(weights, "refiner.features", last)
            told = _unpatched(told, told.shape[1] // 4, frames, rows, columns)
            picture = picture + _refinement(weights, z_VCFHW[v], picture, told, time[v][0])
        out.append(picture)
    return torch.stack(out)


def _unpatched(y_NP: Tensor, channels: int, frames: int, rows: int, columns: int) -> Tensor:
    h, w = rows // 2, columns // 2
    picture = torch.empty(channels, frames, rows, columns)
    for n in range(frames * h * w):
        f, i, j = n // (h * w), n // w % h, n % w
        patch = y_NP[n].reshape(2, 2, channels)
        picture[:, f, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = patch.permute(2, 0, 1)
    return picture


def _refinement(weights, z_CFHW, prediction_CFHW, told_KFHW, time_D) -> Tensor:
    """The cell refiner on one view, one latent frame and, in its 3x3 layers, one tap at a time."""
    frames = []
    for f in range(z_CFHW.shape[1]):
        x = torch.cat([z_CFHW[:, f], prediction_CFHW[:, f], told_KFHW[:, f]])
        x = _convolved(weights, "refiner.enter", x)
        x = x + linear(weights, "refiner.time", time_D * torch.sigmoid(time_D))[:, None, None]
        for block in range(4):
            p = f"refiner.blocks.{block}."
            grouped = x.reshape(8, -1)
            centred = grouped - grouped.mean(1, keepdim=True)
            normed = centred / torch.sqrt(centred.square().mean(1, keepdim=True) + 1e-5)
            normed = normed.reshape(x.shape) * weights[p + "norm.weight"][:, None, None]
            spread = _convolved(
                weights, p + "spread", normed + weights[p + "norm.bias"][:, None, None]
            )
            x = x + _convolved(weights, p + "mix", spread * torch.sigmoid(spread))
        frames.append(_convolved(weights, "refiner.leave", x))
    return torch.stack(frames, dim=1)


def _convolved(weights, name: str, x_CHW: Tensor) -> Tensor:
    kernel, (_, rows, columns) = weights[name + ".weight"], x_CHW.shape
    reach = kernel.shape[-1] // 2
    padded = torch.zeros(len(x_CHW), rows + 2 * reach, columns + 2 * reach)
    padded[:, reach : reach + rows, reach : reach + columns] = x_CHW
    out = weights[name + ".bias"][:, None, None].expand(-1, rows, columns).clone()
    for i in range(kernel.shape[2]):
        for j in range(kernel.shape[3]):
            seen = padded[:, i : i + rows, j : j + columns]
            out = out + torch.einsum("oc,chw->ohw", kernel[:, :, i, j], seen)
    return out


def _mvs(
    weights, config, p, x, time, text_LD, visible_L, cameras_VFSR, pattern_FhKK, grid, mutation
):
    """Eq. 5-6, or the released form, one latent frame at a time."""
    frames, h, w = grid
    s, views = h * w, len(x)
    paper = config.mvs_form == "paper"
    inside, after = [], []
    for v in range(views):
        camera_FSD = linear(weights, p + "mvs.camera_encoder", cameras_VFSR[v])
        camera_ND = camera_FSD.expand(frames, s, -1).reshape(frames * s, -1)
        if paper:
            after.append(x[v] + camera_ND)  # Eq. 5
            inside.append(layer_norm(after[v], config.eps))
        else:
            table = weights[p + "mvs.modulation"][0]
            shift, scale = table[0] + time[v][1][0], table[1] + time[v][1][1]
            after.append(x[v])
            inside.append(layer_norm(x[v], config.eps) * (1 + scale) + shift + camera_ND)
    if config.view_rope and mutation != "rope_without_views":
        angles = positions(views, h, w, config.attention_head_dim)
    else:
        angles = positions(1, h, w, config.attention_head_dim).repeat(views, 1)
    out = [torch.empty_like(one) for one in x]
    for f in range(frames):
        here = slice(f * s, (f + 1) * s)
        together = torch.cat([one[here] for one in inside])
        pattern_hKK = None
        if pattern_FhKK is not None:
            pattern_hKK = pattern_FhKK[f if len(pattern_FhKK) > 1 else 0]
        seen = attention(weights, p + "mvs.attn.", config, together, together, angles, pattern_hKK)
        for v in range(views):
            back = linear(weights, p + "mvs.projector", seen[v * s : (v + 1) * s])
            gate = 1.0 if paper else weights[p + "mvs.modulation"][0][2] + time[v][1][2]
            if mutation == "gate_off":
                gate = gate * 1.05
            out[v][here] = after[v][here] + gate * back  # Eq. 6
    return out


def _cross(
    weights, config, p, x, time, text_LD, visible_L, cameras_VFSR, pattern_FhKK, grid, mutation
):
    out = []
    for one in x:
        normed = layer_norm(one, config.eps) * weights[p + "norm2.weight"]
        normed = normed + weights[p + "norm2.bias"]
        seen = None if visible_L is None else visible_L.expand(1, len(one), -1)
        out.append(one + attention(weights, p + "attn2.", config, normed, text_LD, None, seen))
    return out


def attention(weights, p, config, x_ND, y_MD, angles=None, pattern_hNM=None) -> Tensor:
    """Softmax attention of x over y; queries and keys normalised across all heads, then turned.

    Patterns are dealt out to the heads: booleans say who is seen, floats are added to the scores.
    """
    q = rms_norm(linear(weights, p + "to_q", x_ND), weights[p + "norm_q.weight"], config.eps)
    k = rms_norm(linear(weights, p + "to_k", y_MD), weights[p + "norm_k.weight"], config.eps)
    v = linear(weights, p + "to_v", y_MD)
    size = config.attention_head_dim
    heads = []
    for head in range(config.num_attention_heads):
        part = slice(head * size, (head + 1) * size)
        qh, kh = q[:, part], k[:, part]
        if angles is not None:
            qh, kh = turn(qh, angles), turn(kh, angles)
        scores = qh @ kh.T / math.sqrt(size)
        if pattern_hNM is not None:
            pattern = pattern_hNM[head % len(pattern_hNM)]
            if pattern.dtype == torch.bool:
                scores = scores.masked_fill(~pattern, -math.inf)
            else:
                scores = scores + pattern
        heads.append(torch.softmax(scores, dim=-1) @ v[:, part])
    return linear(weights, p + "to_out.0", torch.cat(heads, dim=-1))


def positions(frames: int, h: int, w: int, size: int) -> Tensor:
    """Return the angle of each token and pair of channels, [frames x h x w, size / 2]."""
    spatial = 2 * (size // 6)
    rows = []
    for f in range(frames):
        for i in range(h):
            for j in range(w):
                angles = []
                for place, dim in ((f, size - 2 * spatial), (i, spatial), (j, spatial)):
                    angles += [place / 10000.0 ** (2 * k / dim) for k in range(dim // 2)]
                rows.append(angles)
    return torch.tensor(rows, dtype=torch.float64)


def turn(x_ND: Tensor, angles: Tensor) -> Tensor:
    """Turn each pair of channels by its angle, as complex numbers."""
    pairs = torch.view_as_complex(x_ND.double().reshape(*x_ND.shape[:-1], -1, 2))
    turned = pairs * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).reshape(x_ND.shape).to(x_ND.dtype)


def patches(weights, z_CFHW: Tensor) -> Tensor:
    """Return [N, D]: a linear map of each 1 x 2 x 2 patch."""
    matrix = weights["patch_embedding.weight"].flatten(1)
    _, frames, rows, columns = z_CFHW.shape
    tokens = [
        matrix @ z_CFHW[:, f : f + 1, i : i + 2, j : j + 2].reshape(-1)
        for f in range(frames)
        for i in range(0, rows, 2)
        for j in range(0, columns, 2)
    ]
    return torch.stack(tokens) + weights["patch_embedding.bias"]


def time_embedding(weights, config, t: Tensor, mean_D=0.0) -> tuple[Tensor, list[Tensor]]:
    """Return (embedding [D] with what the text adds to it, its six projections)."""
    half = config.freq_dim // 2
    angle = [float(t) * math.exp(-math.log(10000.0) * k / half) for k in range(half)]
    wave = torch.tensor([math.cos(a) for a in angle] + [math.sin(a) for a in angle])
    p = "condition_embedder.time_embedder."
    hidden = linear(weights, p + "linear_1", wave)
    embedding = linear(weights, p + "linear_2", hidden * torch.sigmoid(hidden)) + mean_D
    six = linear(weights, "condition_embedder.time_proj", embedding * torch.sigmoid(embedding))
    return embedding, list(six.reshape(6, -1))


def text_tokens(weights, text_LD: Tensor) -> Tensor:
    p = "condition_embedder.text_embedder."
    return linear(weights, p + "linear_2", gelu(linear(weights, p + "linear_1", text_LD)))


def linear(weights, name: str, x: Tensor) -> Tensor:
    return x @ weights[name + ".weight"].T + weights[name + ".bias"]


def layer_norm(x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + eps)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
