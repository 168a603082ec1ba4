# SPDX-License-Identifier: Apache-2.0
"""The content that rig tests render: a library, the world that holds it, plans of small scenes."""

from __future__ import annotations

from syncam_engine.rendering.unreal import drawing

LIBRARY = {
    "locations": [
        {"map": "/Game/Maps/Plaza", "center_uu": [1200, -300, 110], "caption": "a sunny plaza"},
        {
            "map": "/Game/Maps/Hall.Hall", "center_uu": [0, 50, 90], "ground_uu": 5,
            "radius_m": [3.5, 5], "walk_radius_m": 1.5, "caption": "a hall",
        },
    ],
    "subjects": [
        {
            "mesh": "/Game/Hero/SKM_Hero", "caption": "a grey robot",
            "animations": [
                {"path": "/Game/Hero/Walk", "speed_m_s": 1.4, "caption": "walks"},
                {"path": "/Game/Hero/Wave", "caption": "waves"},
            ],
        },
        {
            "mesh": "/Game/Dog/SK_Dog", "caption": "a dog", "yaw_offset_deg": 0.0, "scale": 0.8,
            "animations": [{"path": "/Game/Dog/Run", "speed_m_s": 3.0, "caption": "runs"}],
        },
    ],
}  # fmt: skip
WORLD = {
    "maps": ["/Game/Maps/Plaza", "/Game/Maps/Hall"],
    "meshes": {"/Game/Hero/SKM_Hero": "/Game/Hero/SK", "/Game/Dog/SK_Dog": "/Game/Dog/SK"},
    "animations": {
        "/Game/Hero/Walk": "/Game/Hero/SK", "/Game/Hero/Wave": "/Game/Hero/SK",
        "/Game/Dog/Run": "/Game/Dog/SK",
    },
}  # fmt: skip


def full_plan(content, tmp_path, cameras=5, batches=2, **options):
    plan = drawing.draw_scene(
        content, seed=3, number=1, cameras=cameras, frames=6, width=64, height=40, **options
    )
    names = [c["name"] for c in plan["rig"]["cameras"]]
    size = -(-cameras // batches)
    return {
        **plan, "output": str(tmp_path / "frames"), "samples": 4, "motion_blur": False,
        "batches": [names[i : i + size] for i in range(0, cameras, size)],
    }  # fmt: skip


def fill(unreal, editor):
    from stand_in.assets import add_asset

    editor.saved |= set(WORLD["maps"])
    bones = {}
    for kind, table in (("SkeletalMesh", "meshes"), ("AnimSequence", "animations")):
        for path, skeleton in WORLD[table].items():
            bones.setdefault(skeleton, add_asset(editor, "Skeleton", skeleton))
            add_asset(editor, kind, path, skeleton=bones[skeleton])
