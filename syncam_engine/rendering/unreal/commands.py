# SPDX-License-Identifier: Apache-2.0
"""The two command lines of a scene, and where the editor, the project and the build script are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from syncam_engine.link.errors import SynCamError
from syncam_engine.link.owners import program_on_path

ENVIRONMENT = "SYNCAM_UNREAL_EDITOR"
PLAN_VARIABLE, REPORT_VARIABLE = "SYNCAM_UNREAL_PLAN", "SYNCAM_UNREAL_REPORT"
SCRIPT = Path("Content") / "Python" / "syncam_rig_build.py"
CLONE_PLUGIN = Path(__file__).resolve().parents[3] / "ue_bridge" / "SynCam"


def find_editor(given: str = "") -> Path:
    """Return UnrealEditor-Cmd: the one given, $SYNCAM_UNREAL_EDITOR, or one on the PATH.

    Raises SynCamError ("unreal.editor").
    """
    for candidate in (given, os.environ.get(ENVIRONMENT, "")):
        if candidate:
            path = Path(candidate)
            if not path.is_file():
                raise SynCamError(
                    "unreal.editor",
                    f"There is no Unreal editor at '{candidate}'.",
                    value=candidate,
                    fix="Give the path of UnrealEditor-Cmd",
                )
            return path.absolute()
    for name in ("UnrealEditor-Cmd", "UnrealEditor-Cmd.exe"):
        if found := program_on_path(name):
            return found
    raise SynCamError(
        "unreal.editor",
        "No Unreal editor was found.",
        fix=f"Give --unreal-editor or set {ENVIRONMENT} to UnrealEditor-Cmd",
    )


def check_project(given: str) -> Path:
    """Return the .uproject file. Raises SynCamError ("unreal.project")."""
    path = Path(given) if given else None
    if path is None or path.suffix != ".uproject" or not path.is_file():
        said = f"'{given}' is not a .uproject file" if given else "No project was given"
        raise SynCamError("unreal.project", f"{said}.", value=given, fix="Give --unreal-project")
    return path.absolute()


def find_build_script(project: Path) -> Path:
    """Return the build script: of the plugin in the project, else of this clone.

    Raises SynCamError ("unreal.plugin_missing").
    """
    for descriptor in sorted((project.parent / "Plugins").rglob("SynCam.uplugin")):
        if (descriptor.parent / SCRIPT).is_file():
            return descriptor.parent / SCRIPT
    if (CLONE_PLUGIN / SCRIPT).is_file():
        return CLONE_PLUGIN / SCRIPT
    raise SynCamError(
        "unreal.plugin_missing",
        f"The project '{project.stem}' does not have the SynCam plugin.",
        value=str(project),
        fix="Unzip what `syncam package unreal` makes into the project's Plugins folder",
    )


def build_command(
    editor: Path, project: Path, script: Path, *, commandlet: bool = True
) -> list[str]:
    """Return the first step: build level content without a screen.

    The script reads where its plan and report are from PLAN_VARIABLE and REPORT_VARIABLE: how the
    editor splits a script's arguments differs between systems.
    """
    quiet = ["-unattended", "-nosplash", "-nop4", "-nullrhi", "-stdout", "-FullStdOutLogOutput"]
    if commandlet:
        return [
            str(editor),
            str(project),
            "-run=pythonscript",
            f"-script={script.as_posix()}",
            *quiet,
        ]
    return [str(editor), str(project), f"-ExecutePythonScript={script.as_posix()}", *quiet]


def windows_command_line(command: list[str]) -> str:
    """Return a command as the editor reads it on Windows: from the raw line, where the quotes of an
    option belong around its value (-script="C:/a b.py") and not around the whole."""
    words = []
    for word in command:
        key, equals, value = word.partition("=")
        if " " not in word:
            words.append(word)
        elif word.startswith("-") and equals:
            words.append(f'{key}="{value}"')
        else:
            words.append(f'"{word}"')
    return " ".join(words)


def render_command(editor: Path, project: Path, plan: dict[str, Any], batch: dict) -> list[str]:
    """Return the second step: render one batch's sequence with Movie Render Queue, off-screen."""

    def object_path(package: str) -> str:
        return f"{package}.{package.rsplit('/', 1)[1]}"

    return [
        str(editor),
        str(project),
        plan["map"],
        "-game",
        f"-LevelSequence={object_path(batch['sequence'])}",
        f"-MoviePipelineConfig={object_path(batch['config'])}",
        "-windowed",
        f"-resx={plan['width']}",
        f"-resy={plan['height']}",
        "-RenderOffscreen",
        "-notexturestreaming",
        "-unattended",
        "-nosplash",
        "-nop4",
        "-log",
        "-stdout",
    ]
