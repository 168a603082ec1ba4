# SPDX-License-Identifier: Apache-2.0
"""The released layout converts and loads strict, at full width; damaged files are named."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from syncam_engine.cli import main
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.checkpoints import convert_released, describe
from syncam_engine.model.presets import WAN_1_3B, CameraEncoding
from syncam_engine.model.released_layout import released_table
from syncam_engine.model.transformer_files import expected_shapes, load_transformer
from tests.model.networks import inputs, small_config
from tests.model.plain_reference import plain_forward


def preset_of(**sizes):
    return replace(WAN_1_3B, name="made", transformer=replace(WAN_1_3B.transformer, **sizes))


def small_preset():
    config = small_config(mvs_form="released")
    return replace(WAN_1_3B, name="made", transformer=config)


def released_state(preset, seed: int = 3, dtype=torch.float32) -> dict[str, torch.Tensor]:
    """Return random values in the released names and shapes."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for row in released_table(preset.transformer):
        values = torch.rand(row.shape, generator=generator) - 0.5
        state[row.released] = (values * 4 / max(row.shape[-1], 16) ** 0.5).to(dtype)
        if "norm" in row.released and row.released.endswith("weight"):
            state[row.released] += 1
    return state


# The map once more, as a person would write it down, independent of the product's table.
BY_HAND = [
    (r"\.self_attn\.", ".attn1."), (r"\.cross_attn\.", ".attn2."), (r"\.mvs_attn\.", ".mvs.attn."),
    (r"\.([qkv])\.(weight|bias)$", r".to_\1.\2"), (r"\.o\.(weight|bias)$", r".to_out.0.\1"),
    (r"\.norm3\.", ".norm2."), (r"\.ffn\.0\.", ".ffn.net.0.proj."), (r"\.ffn\.2\.", ".ffn.net.2."),
    (r"\.modulation_mvs$", ".mvs.modulation"),
    (r"(blocks\.\d+)\.modulation$", r"\1.scale_shift_table"),
    (r"\.cam_encoder\.", ".mvs.camera_encoder."), (r"\.projector\.", ".mvs.projector."),
    (r"^head\.modulation$", "scale_shift_table"), (r"^head\.head\.", "proj_out."),
    (r"^time_projection\.1\.", "condition_embedder.time_proj."),
    (r"^time_embedding\.0\.", "condition_embedder.time_embedder.linear_1."),
    (r"^time_embedding\.2\.", "condition_embedder.time_embedder.linear_2."),
    (r"^text_embedding\.0\.", "condition_embedder.text_embedder.linear_1."),
    (r"^text_embedding\.2\.", "condition_embedder.text_embedder.linear_2."),
]  # fmt: skip


def renamed(name: str) -> str:
    for pattern, replacement in BY_HAND:
        name = re.sub(pattern, replacement, name)
    return name


def test_the_whole_key_map_on_paper():
    rows = released_table(WAN_1_3B.transformer)
    assert len(rows) == len({r.released for r in rows}) == len({r.ours for r in rows}) == 1275
    assert {r.ours: r.shape for r in rows} == expected_shapes(WAN_1_3B.transformer)
    assert all(renamed(row.released) == row.ours for row in rows)


def check_conversion(preset, folder, cameras, dtype):
    """Convert a random file, load it strict, and compare with the equations on its own values."""
    torch.set_num_threads(1)
    state = released_state(preset, dtype=dtype)
    torch.save(state, folder / "step.ckpt")
    done = convert_released(
        folder / "step.ckpt",
        folder / "mvs.safetensors",
        preset,
        base_out=folder / "base.safetensors",
    )
    assert done.tensors == len(state)
    assert done.mvs_parameters + done.base_parameters == sum(t.numel() for t in state.values())
    tensors = {**load_file(folder / "mvs.safetensors"), **load_file(folder / "base.safetensors")}
    model = load_transformer(preset.transformer, tensors, torch.device("cpu"), torch.float32)
    config = preset.transformer
    given = inputs(config, cameras, views=2)
    with torch.no_grad():
        ours = model(**given)
        plain = plain_forward(
            {renamed(name): value.float() for name, value in state.items()},
            config,
            given["z_BVCFHW"],
            given["t_BV"],
            given["text_tokens_BLD"],
            None,
            given["cameras_BVFSR"],
        )
    assert float(plain.abs().max()) > 1e-2
    assert float((ours - plain).abs().max()) < 2e-5 * max(1.0, float(plain.abs().max()))


def test_a_small_file_converts(tmp_path):
    check_conversion(small_preset(), tmp_path, CameraEncoding(), torch.float32)


def test_full_width_two_blocks_convert(tmp_path):
    check_conversion(preset_of(num_layers=2), tmp_path, CameraEncoding(), torch.bfloat16)


def damaged(state, how):
    name = "blocks.1.mvs_attn.q.weight"
    if how == "missing":
        del state[name]
    elif how == "extra":
        state["optimizer.step"] = torch.zeros(1)
    elif how == "shape":
        state[name] = state[name][:, :-1].clone()
    else:
        state[name][0, 0] = float("nan")
    return state


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("missing", "weights.keys", "lacks 1 of 99 tensors (blocks.1.mvs_attn.q.weight)"),
        ("extra", "weights.keys", "has 1 that do not belong (optimizer.step)"),
        ("shape", "weights.shape", "blocks.1.mvs_attn.q.weight has shape [42, 41]; it must be"),
        ("nan", "checkpoint.values", "not finite in blocks.1.mvs_attn.q.weight"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, how, code, said):
    preset = small_preset()
    torch.save(damaged(released_state(preset), how), tmp_path / "step.ckpt")
    with pytest.raises(SynCamError, match=re.escape(said)) as caught:
        convert_released(tmp_path / "step.ckpt", tmp_path / "out.safetensors", preset)
    assert caught.value.code == code
    assert not list(tmp_path.glob("*.safetensors*"))


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("cut", "was cut off or damaged."),
        ("text", "is not a checkpoint: it is neither an archive nor a pickle of PyTorch's."),
        ("letter", "is not a checkpoint: it is neither an archive nor a pickle of PyTorch's."),
        ("empty", "(0 bytes) is empty."),
        ("zip", "is a zip archive that holds no checkpoint of PyTorch's."),
        ("code", "holds more than tensors: objects whose reading would run code"),
        ("old code", "holds more than tensors: objects whose reading would run code"),
        ("cut pickle", "was cut off or damaged."),
        ("other pickle", "is a pickle that PyTorch did not write."),
        ("list", "holds a list, not a flat table of named tensors."),
        ("missing", "is not there."),
    ],
)
def test_files_that_are_no_checkpoints(tmp_path, how, said, capsys):
    path = tmp_path / "step.ckpt"
    if how == "cut":
        torch.save(released_state(small_preset()), path)
        path.write_bytes(path.read_bytes()[:5000])
    elif how in ("text", "letter", "empty"):
        path.write_text({"text": "<html>please log in</html>", "letter": "hello"}.get(how, ""))
    elif how == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("note.txt", "hello")
    elif how == "code":
        torch.save({"a": Evil()}, path)
    elif how == "old code":
        path.write_bytes(pickle.dumps({"a": Evil()}, protocol=2))
    elif how == "cut pickle":
        path.write_bytes(pickle.dumps({"a": [1.0] * 100}, protocol=2)[:50])
    elif how == "other pickle":
        path.write_bytes(pickle.dumps({"a": 1.0}, protocol=4))
    elif how == "list":
        torch.save([torch.zeros(2)], path)
    with pytest.raises(SynCamError, match=re.escape(said)) as caught:
        convert_released(path, tmp_path / "out.safetensors", small_preset())
    assert caught.value.code in ("checkpoint.unreadable", "checkpoint.missing")
    assert "code ran" not in capsys.readouterr().out
    assert main(["checkpoint", "inspect", str(path)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "weights_only" not in error


@pytest.mark.parametrize("base", [None, "mvs.safetensors"])
def test_no_file_is_written_over_another(tmp_path, base):
    path = tmp_path / "step.ckpt"
    torch.save(released_state(small_preset()), path)
    before = path.read_bytes()
    out = path if base is None else tmp_path / base
    with pytest.raises(SynCamError, match="is named twice") as caught:
        convert_released(path, out, small_preset(), base_out=base and tmp_path / "." / base)
    assert caught.value.code == "checkpoint.same_file"
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["step.ckpt"]


@pytest.mark.parametrize(
    "header",
    [
        b"[" * 50_000 + b"]" * 50_000,
        b'{"a": {"dtype": "F32", "shape": ["x"], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, "8"]}}',
        b'{"a": {"dtype": "F32", "shape": [2]}}',
        b'{"__metadata__": 3}',
        b"[]",
    ],
    ids=["deep", "shape", "offsets", "no offsets", "metadata", "list"],
)
def test_headers_that_are_none(tmp_path, header, capsys):
    path = tmp_path / "mvs.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    assert main(["checkpoint", "inspect", str(path)]) == 2
    assert "is not a safetensors file. A released .ckpt is converted first" in (
        capsys.readouterr().err
    )


def test_the_command(tmp_path, capsys):
    preset = small_preset()
    preset.write(tmp_path / "preset.json")
    torch.save({"state_dict": released_state(preset)}, tmp_path / "step.ckpt")
    out = tmp_path / "new folder" / "mvs.safetensors"
    arguments = ["checkpoint", "convert", str(tmp_path / "step.ckpt"), str(out)]
    assert main([*arguments, "--preset", str(tmp_path / "preset.json")]) == 0
    assert "99 tensors checked" in capsys.readouterr().out
    assert main(["checkpoint", "inspect", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["mvs_form"], facts["blocks"], facts["width"]) == ("released", 2, 42)
    assert facts["mvs_tensors"] == facts["tensors"] == 30
    assert describe(tmp_path / "step.ckpt")["names"] == "released"
    assert main([*arguments]) == 2  # as the 1.3B model it lacks most tensors
    assert "lacks" in capsys.readouterr().err
