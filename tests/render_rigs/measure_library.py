# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in Blender's Python: how each usable file of a library moves, with another's beside it."""

import json
import sys

from render_rigs import assets
from render_rigs.blender import library

FRAMES, FPS = 30, 15


def main() -> None:
    entries, _ = assets.read_manifest(sys.argv[1], "assets.json")
    for entry in entries:
        try:
            points = library.measure(entry, "walk", FRAMES, FPS)
        except assets.AssetError as error:
            print("@" + json.dumps({"file": entry.file, "error": str(error)}))
            continue
        top = points[:, -1]  # the highest vertex of the first frame, at each frame from -1 on
        print("@" + json.dumps({"file": entry.file, "top_m": top.tolist()}))
    # Both in one scene: the second's action must not be taken from the first.
    library._empty()
    first, second = (library.bring_in(entry) for entry in entries[:2])
    same = first.actions["Nod"] == second.actions["Nod"]
    print("@" + json.dumps({"shared": same, "names": [*first.actions, *second.actions]}))


if __name__ == "__main__":
    main()
