# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's preferences: where the engine is, and where the add-on keeps its own files."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, FloatProperty, StringProperty

from syncam_engine.link.endpoint import stored_client_id, user_config_dir
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.messages import new_id


class SynCamPreferences(bpy.types.AddonPreferences):
    bl_idname = __package__

    engine_python: StringProperty(
        name="Engine's Python",
        description="The Python that has the SynCam engine; empty: found by itself",
        subtype="FILE_PATH",
        default="",
    )
    use_remote: BoolProperty(
        name="Remote Engine",
        description="Use an engine on another machine",
        default=False,
    )
    remote_address: StringProperty(
        name="Address",
        description="tcp://HOST:PORT of the engine",
        default="",
    )
    remote_key: StringProperty(
        name="Engine's Key",
        description="The engine's public key, 40 characters: `syncam keys list` shows it there",
        default="",
    )
    start_engine: BoolProperty(
        name="Start the Engine When Needed",
        default=True,
    )
    preview_scale: FloatProperty(
        name="Picture Size",
        description="Size of the pictures in the panel",
        default=7.0,
        min=3.0,
        max=12.0,
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        local = layout.column(heading="Engine")
        local.enabled = not self.use_remote
        local.prop(self, "start_engine")
        local.prop(self, "engine_python")
        local.operator("syncam.engine_install", icon="IMPORT")
        layout.prop(self, "use_remote")
        remote = layout.column()
        remote.enabled = self.use_remote
        remote.prop(self, "remote_address")
        remote.prop(self, "remote_key")
        remote.operator("syncam.copy_public_key", icon="COPYDOWN")
        layout.operator("syncam.engine_reconnect", icon="FILE_REFRESH")
        layout.prop(self, "preview_scale")


def get() -> SynCamPreferences | None:
    """Return the preferences; None when the add-on was registered without being enabled."""
    entry = bpy.context.preferences.addons.get(__package__)
    return entry.preferences if entry else None


def jobs_folder() -> Path:
    """Where job files and the clips of unsaved scenes lie."""
    return user_config_dir() / "blender" / "jobs"


def client_id() -> str:
    """Return the owner of this user's jobs in the engine, kept over restarts."""
    try:
        return stored_client_id("blender")
    except (OSError, SynCamError):
        # A configuration folder that cannot be written: jobs are found again by their own ids.
        return new_id()


def remote_endpoint() -> str | None:
    """Return the remote engine's address with its key, or None for the local engine."""
    own = get()
    if own is None or not own.use_remote or not own.remote_address.strip():
        return None
    key = own.remote_key.strip()
    return own.remote_address.strip() + (f"#{key}" if key else "")


def register() -> None:
    bpy.utils.register_class(SynCamPreferences)


def unregister() -> None:
    bpy.utils.unregister_class(SynCamPreferences)
