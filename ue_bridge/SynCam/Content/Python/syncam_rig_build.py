# SPDX-License-Identifier: Apache-2.0
"""The build step of `syncam render --engine unreal`: run by the editor. The plan and the report are
the files that SYNCAM_UNREAL_PLAN and SYNCAM_UNREAL_REPORT name.

Writes the report whole or not at all; an error that a person can mend is in it as plain data.
"""

import json
import os
import sys
import traceback
from pathlib import Path

if str(Path(__file__).resolve().parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).resolve().parent))

import syncam_paths

syncam_paths.make_importable()

import unreal  # noqa: E402
from syncam_unreal import rig_scene  # noqa: E402

from syncam_engine.link.errors import SynCamError  # noqa: E402


def main(plan_file: Path, report_file: Path) -> None:
    """Build the plan; write the report."""
    try:
        report = rig_scene.build(json.loads(plan_file.read_text("utf-8")))
    except SynCamError as error:
        report = {"error": error.to_dict()}
        unreal.log_error(f"SynCam: {error.sentence}")
    except Exception as error:  # noqa: BLE001 - the editor raises what it likes; the log has it all
        unreal.log_error(traceback.format_exc())
        sentence = f"The scene could not be built: {error}."
        report = {"error": SynCamError("unreal.build", sentence).to_dict()}
    partial = report_file.with_suffix(".partial")
    partial.write_text(json.dumps(report, indent=1), "utf-8")
    os.replace(partial, report_file)


if __name__ == "__main__":
    main(Path(os.environ["SYNCAM_UNREAL_PLAN"]), Path(os.environ["SYNCAM_UNREAL_REPORT"]))
