# SPDX-License-Identifier: Apache-2.0
"""Movie Render Queue: configurations, jobs and the shot list with its sidecar cameras."""

from __future__ import annotations

from .assets import add_asset
from .generator import BEHAVIOURS as B
from .sequencer import guid_of
from .world import editor_of, types_of


@B.initialiser("MoviePipelineConfigBase")
def _config_init(self):
    self._settings = []


@B.method("MoviePipelineConfigBase", "find_or_add_setting_by_class")
def _find_or_add(self, class_, include_disabled_settings, exact_match):
    found = next((s for s in self._settings if isinstance(s, class_)), None)
    if found is None:
        found = class_(self)
        self._settings.append(found)
    return found


@B.method("MoviePipelineConfigBase", "find_setting_by_class")
def _find(self, class_, include_disabled_settings, exact_match):
    return next((s for s in self._settings if isinstance(s, class_)), None)


@B.method("MoviePipelineConfigBase", "get_user_settings")
def _get_user_settings(self):
    return list(self._settings)


@B.method("MoviePipelineConsoleVariableSetting", "add_or_update_console_variable")
def _add_console_variable(self, name, value):
    self.__dict__.setdefault("_variables", {})[name] = value
    return True


@B.method("MoviePipelineEditorLibrary", "export_config_to_asset")
def _export_config(cls, config, package_path, file_name, save_asset):
    editor = editor_of(cls)
    if editor.read_only_content:
        return None
    made = add_asset(editor, "MoviePipelinePrimaryConfig", f"{package_path}/{file_name}")
    made._settings = config._settings
    return made, ""


@B.method("MoviePipelineQueue", "allocate_new_job")
def _allocate_new_job(self, job_type):
    job = types_of(self)["MoviePipelineExecutorJob"](self)
    self.__dict__.setdefault("_jobs", []).append(job)
    return job


@B.method("MoviePipelineLibrary", "update_job_shot_list_from_sequence")
def _update_shot_list(cls, sequence, job):
    types = types_of(cls)
    shot = types["MoviePipelineExecutorShot"](job)
    cameras = [b for b in sequence._bindings if isinstance(b.thing, types["CameraActor"])]
    shot._values["sidecar_cameras"] = [
        types["MoviePipelineSidecarCamera"](guid_of(b), b.name + editor_of(cls).queue_suffix)
        for b in cameras
    ]
    job.shot_info = [shot]
    return True
