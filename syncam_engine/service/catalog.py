# SPDX-License-Identifier: Apache-2.0
"""The presets that this engine offers, without torch. Names come over the wire, paths never do:
a preset file is offered under its name only when the command line gave it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

from syncam_engine.link.engine_facts import PresetInfo
from syncam_engine.link.errors import SynCamError
from syncam_engine.model.presets import (
    PACKAGE_FILES,
    Preset,
    get_preset,
    list_presets,
    package_folder,
)


@dataclass(frozen=True, slots=True)
class Catalog:
    presets: dict[str, Preset]
    sources: dict[str, str]
    """Names to what `load_pipeline` takes."""
    default: str

    def get(self, name: str) -> Preset:
        if name not in self.presets:
            raise SynCamError(
                "preset.unknown",
                f"There is no preset {name!r}; there are {', '.join(self.presets)}.",
                value=name,
                nearest=self.default,
                fix=f"Use {self.default}",
            )
        return self.presets[name]

    def infos(self) -> list[PresetInfo]:
        return [
            PresetInfo(
                name=name,
                title=preset.title,
                default=name == self.default,
                available=is_available(preset),
                envelope=preset.envelope.to_dict(),
                defaults={
                    **preset.request_defaults(),
                    "negative_prompt": preset.sampling.negative_prompt,
                },
            )
            for name, preset in self.presets.items()
        ]


def read_catalog(default: str = "", preset_files: list[Path] | None = None) -> Catalog:
    """Return the package's presets and those of the files. Raises `SynCamError` "preset.*"."""
    presets = {name: get_preset(name) for name in list_presets()}
    sources = {name: name for name in presets}
    for path in preset_files or []:
        preset = Preset.read(path)
        _check_beside(preset, path)
        presets[preset.name], sources[preset.name] = preset, str(path.absolute())
    Catalog(presets, sources, list_presets()[0]).get(default or list_presets()[0])
    return Catalog(presets, sources, default or list_presets()[0])


def _check_beside(preset: Preset, path: Path) -> None:
    """Raise `SynCamError` "preset.weights" for a preset file whose weights are not where it says:
    they may have been moved, and a job is too late to hear of it."""
    if preset.source.kind != "package":
        return
    folder = package_folder(preset.source.base)
    missing = [name for name in PACKAGE_FILES if not (folder / name).is_file()]
    if missing:
        raise SynCamError(
            "preset.weights",
            f"The preset file {path} names the weights in {folder}, where {missing[0]} is missing.",
            value=str(folder),
            nearest=str(path.parent),
            fix=f'If they lie beside {path.name}, set source.base in it to "."',
        )


def is_available(preset: Preset) -> bool:
    """Whether its weights are on this machine, as far as can be seen without loading them."""
    if preset.source.kind == "package":
        return (package_folder(preset.source.base) / PACKAGE_FILES[0]).is_file()
    if importlib.util.find_spec("huggingface_hub") is None:
        return False
    from huggingface_hub.constants import HF_HUB_CACHE

    return (Path(HF_HUB_CACHE) / ("models--" + preset.source.base.replace("/", "--"))).is_dir()
