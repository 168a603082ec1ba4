# SPDX-License-Identifier: Apache-2.0
"""Scenes spread over machines: a Ray cluster, or an Open Job Description for a studio's farm."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from syncam_engine.link.errors import SynCamError

SPECIFICATION = "jobtemplate-2023-09"


def write_openjd(path: Path, spec: dict) -> None:
    """Write a job template with one task for each scene (or shard) of the set.

    Every task is `syncam render --job FILE --unit N` on the same folder: the finish markers of the
    scenes make a task that runs twice harmless. A last step writes the manifest.
    """
    count = -(-spec["scenes"] // spec["per_shard"]) if spec["packed"] else spec["scenes"]
    job = {"name": "job", "type": "TEXT", "filename": "job.json", "data": json.dumps(spec)}
    template = {
        "specificationVersion": SPECIFICATION,
        "name": f"syncam render seed {spec['seed']}",
        "parameterDefinitions": [
            {
                "name": "SynCam",
                "type": "STRING",
                "default": "syncam",
                "description": "the syncam command on the workers",
            },
            {
                "name": "Out",
                "type": "PATH",
                "objectType": "DIRECTORY",
                "dataFlow": "OUT",
                "default": spec["out"],
                "description": "the set's folder, seen by all workers",
            },
        ],
        "steps": [
            {
                "name": "render",
                "parameterSpace": {
                    "taskParameterDefinitions": [
                        {"name": "Unit", "type": "INT", "range": f"1-{count}"}
                    ]
                },
                "script": {
                    "actions": {"onRun": {"command": "bash", "args": ["{{Task.File.run}}"]}},
                    "embeddedFiles": [
                        {
                            "name": "run",
                            "type": "TEXT",
                            "data": (
                                "exec {{Param.SynCam}} render --job '{{Task.File.job}}' "
                                "--out '{{Param.Out}}' --unit {{Task.Param.Unit}}\n"
                            ),
                        },
                        job,
                    ],
                },
            },
            {
                "name": "manifest",
                "dependencies": [{"dependsOn": "render"}],
                "script": {
                    "actions": {"onRun": {"command": "bash", "args": ["{{Task.File.run}}"]}},
                    "embeddedFiles": [
                        {
                            "name": "run",
                            "type": "TEXT",
                            "data": (
                                "exec {{Param.SynCam}} render --job '{{Task.File.job}}' "
                                "--out '{{Param.Out}}' --collect\n"
                            ),
                        },
                        job,
                    ],
                },
            },
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    # JSON is YAML: no writer is needed, and every farm reads it.
    path.write_text(json.dumps(template, indent=1) + "\n")


class RayUnits:
    """Runs units as Ray tasks. The set's folder must be one that all nodes see.

    A node that dies takes its tasks with it; Ray starts them again elsewhere, and a scene that was
    finished meanwhile is found by its marker.
    """

    def __init__(self, address: str, run) -> None:
        try:
            import ray
        except ImportError:
            raise SynCamError(
                "render.no-ray",
                "Ray is not installed; --cluster needs it.",
                fix="pip install 'syncam[cluster]'",
            ) from None
        self._ray, self._run = ray, run
        if not ray.is_initialized():
            ray.init(address=None if address == "local" else address, log_to_driver=False)
        remote = ray.remote(num_cpus=1, max_retries=8, retry_exceptions=True)
        self._task = remote(_ray_unit)

    def run_unit(self, unit: int) -> bool:
        flag = "--shards" if self._run.spec["packed"] else "--scenes"
        said = self._ray.get(
            self._task.remote(
                self._run.command(flag, str(unit)), self._run.environment()["PYTHONPATH"]
            )
        )
        for line in said:
            self._run.heard(line)
        return self._run.target(unit).exists()


def _ray_unit(command: list[str], python_path: str) -> list[dict]:
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": python_path},
        text=True,
        capture_output=True,
        check=False,
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(f"the worker ended with {done.returncode}: {done.stderr[-400:]}")
    return [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("@")]
