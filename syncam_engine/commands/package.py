# SPDX-License-Identifier: Apache-2.0
"""`syncam package blender|unreal`: each host's plugin, ready to be given to people."""

from __future__ import annotations

import argparse
import importlib

HOSTS = {
    "blender": "the extension, one zip for each platform",
    "unreal": "the plugin, one zip",
}


def configure(parser: argparse.ArgumentParser) -> None:
    hosts = parser.add_subparsers(dest="host", metavar="HOST", required=True)
    for name, text in HOSTS.items():
        # A module has `configure(parser)` and `build(args) -> int`; neither imports its host.
        module = importlib.import_module(f"syncam_engine.packaging.{name}")
        host = hosts.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        module.configure(host)
        host.set_defaults(build=module.build)


def run(args: argparse.Namespace) -> int:
    return args.build(args)
