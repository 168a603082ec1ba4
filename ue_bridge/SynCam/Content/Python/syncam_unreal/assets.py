# SPDX-License-Identifier: Apache-2.0
"""Assets made and updated under /Game/SynCam, with an undo for what a failed step made."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable

import unreal

from syncam_engine.link.errors import SynCamError

from .undo import Undo


def asset_name(text: str) -> str:
    """Return a name that assets and files take."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", text).strip("_") or "camera"
    return plain if plain == text else _marked(plain, text)


def asset_names(texts: Iterable[str]) -> dict[str, str]:
    """Return a name for each text that differs from the others also without regard to case, as
    the editor and Windows compare names."""
    names = {text: asset_name(text) for text in texts}
    counts = Counter(name.casefold() for name in names.values())
    return {
        text: name if counts[name.casefold()] == 1 else _marked(name, text)
        for text, name in names.items()
    }


def _marked(name: str, text: str) -> str:
    return f"{name[:48]}_{zlib.crc32(text.encode('utf-8')):08x}"


class AssetMaker(Undo):
    """Makes assets; `undo()` removes what this maker made, and nothing that was there before."""

    def exists(self, path: str) -> bool:
        return unreal.EditorAssetLibrary.does_asset_exist(path)

    def load(self, path: str, kind: type) -> unreal.Object:
        """Return the asset; raises SynCamError where it is of another class."""
        found = unreal.EditorAssetLibrary.load_asset(path)
        if not isinstance(found, kind):
            raise SynCamError(
                "unreal.asset_kind",
                f"'{path}' is a {type(found).__name__}; SynCam needs a {kind.__name__} there.",
                value=path,
                fix=f"Move {path} away",
            )
        return found

    def get_or_make(self, path: str, kind: type, factory: unreal.Factory | None) -> unreal.Object:
        """Return the asset at this path, made when there is none."""
        if self.exists(path):
            return self.load(path, kind)
        folder, name = path.rsplit("/", 1)
        tools = unreal.AssetToolsHelpers.get_asset_tools()
        made = tools.create_asset(name, folder, kind, factory)
        if made is None:
            raise SynCamError(
                "unreal.asset_make",
                f"The editor did not make '{path}'; the Content folder may be read-only.",
                value=path,
                fix="Make the Content folder writable",
            )
        self.on_undo(lambda: unreal.EditorAssetLibrary.delete_asset(path))
        return made

    def save(self, asset: unreal.Object) -> None:
        """Write the asset. Raises SynCamError where it cannot be written."""
        if not unreal.EditorAssetLibrary.save_loaded_asset(asset):
            path = asset.get_path_name()
            raise SynCamError(
                "unreal.asset_save",
                f"'{path}' cannot be saved; it may be read-only or checked out elsewhere.",
                value=path,
                fix="Check the file out",
            )
