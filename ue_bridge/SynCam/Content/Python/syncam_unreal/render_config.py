# SPDX-License-Identifier: Apache-2.0
"""The Movie Render Queue configuration of a training scene, saved as an asset."""

from __future__ import annotations

from typing import Any

import unreal

from syncam_engine.link.errors import SynCamError

WARM_UP_FRAMES = 32
"""Auto exposure, streaming and temporal history settle in these; they are not written."""


def make_config(plan: dict[str, Any]) -> unreal.MoviePipelinePrimaryConfig:
    """Return a configuration: PNG, all cameras at once, exact frames, warm-up, blur as asked."""
    config = unreal.MoviePipelinePrimaryConfig()

    def setting(kind: type) -> Any:
        return config.find_or_add_setting_by_class(kind)

    setting(unreal.MoviePipelineDeferredPassBase)
    writer = setting(unreal.MoviePipelineImageSequenceOutput_PNG)
    writer.set_editor_property("write_alpha", False)

    output = setting(unreal.MoviePipelineOutputSetting)
    for name, value in {
        "output_directory": unreal.DirectoryPath(plan["output"]),
        # The camera's name must be in it: all cameras write into one folder otherwise.
        "file_name_format": "{camera_name}/{frame_number_rel}",
        "zero_pad_frame_numbers": 4,
        "output_resolution": unreal.IntPoint(plan["width"], plan["height"]),
        "use_custom_frame_rate": True,
        "output_frame_rate": unreal.FrameRate(plan["fps"], 1),
        "override_existing_output": True,
        "use_custom_playback_range": True,
        "custom_start_frame": 0,
        "custom_end_frame": plan["frames"],
        "handle_frame_count": 0,
        "flush_disk_writes_per_shot": True,
    }.items():
        output.set_editor_property(name, value)

    setting(unreal.MoviePipelineCameraSetting).set_editor_property("render_all_cameras", True)

    smooth = setting(unreal.MoviePipelineAntiAliasingSetting)
    for name, value in {
        "override_anti_aliasing": True,
        "anti_aliasing_method": unreal.AntiAliasingMethod.AAM_NONE,
        "spatial_sample_count": plan["samples"],
        # One instant a picture: temporal samples would blend several.
        "temporal_sample_count": 1,
        "engine_warm_up_count": WARM_UP_FRAMES,
        "render_warm_up_count": WARM_UP_FRAMES,
        "render_warm_up_frames": True,
    }.items():
        smooth.set_editor_property(name, value)

    if not plan["motion_blur"]:
        variables = setting(unreal.MoviePipelineConsoleVariableSetting)
        variables.add_or_update_console_variable("r.MotionBlurQuality", 0.0)
    return config


def export_config(plan: dict[str, Any]) -> str:
    """Save the configuration beside the plan's sequences; return its package path."""
    saved = unreal.MoviePipelineEditorLibrary.export_config_to_asset(
        make_config(plan), plan["package"], "Config", True
    )
    if saved is None:
        raise SynCamError(
            "unreal.asset_make",
            f"The render configuration of {plan['scene']} cannot be saved.",
            value=plan["package"],
            fix="Make the Content folder writable",
        )
    return f"{plan['package']}/Config"
