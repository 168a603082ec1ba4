# SPDX-License-Identifier: GPL-3.0-or-later
"""Which device Cycles renders on. Asked for a GPU and none there: an error, never a quiet CPU."""

import os
import platform

import bpy

_KINDS = ("OPTIX", "CUDA", "HIP", "METAL", "ONEAPI")


class NoSuchDevice(Exception):
    """The asked device is not there; the message says what is."""


def gpus() -> list[tuple[str, str]]:
    """(kind, name) of every GPU that Cycles can use, the best kind first."""
    preferences = bpy.context.preferences.addons["cycles"].preferences
    found = []
    for kind in _KINDS:
        try:
            listed = preferences.get_devices_for_type(kind)
        except (ValueError, TypeError):  # a kind that this build does not know
            continue
        found += [(kind, device.name) for device in listed if device.type == kind]
    return found


def use(asked: str) -> dict:
    """Choose the device for this process: {"kind", "name"}. ``asked``: auto, cpu or gpu.

    Raises NoSuchDevice when a GPU is asked for and there is none.
    """
    found = gpus()
    if asked == "gpu" and not found:
        raise NoSuchDevice(
            f"no GPU that Cycles can use was found; this machine has the CPU only ({_cpu_name()})"
        )
    if asked == "cpu" or not found:
        return {"kind": "CPU", "name": _cpu_name()}
    kind, name = found[0]
    preferences = bpy.context.preferences.addons["cycles"].preferences
    preferences.compute_device_type = kind
    for device in preferences.get_devices_for_type(kind):
        device.use = device.type == kind
    return {"kind": kind, "name": name}


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            name = next(line.split(":", 1)[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        name = platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} threads"
