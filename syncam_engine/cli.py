# SPDX-License-Identifier: Apache-2.0
"""The `syncam` command. Every verb is a module of `syncam_engine.commands`.

A command module has `configure(parser)` and `run(args) -> int` and is imported when its verb is
asked for; the help texts stand here, so that `syncam --help` imports nothing heavy.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from syncam_engine import __version__
from syncam_engine.commands.parsing import Parser
from syncam_engine.link.errors import SynCamError
from syncam_engine.link.printable import printable

COMMANDS = {
    "serve": "start the engine: the server process and its worker",
    "generate": "generate one clip for every camera of a rig file",
    "spread": "generate one request's clips on several GPUs, without an engine",
    "status": "what a running engine is doing",
    "jobs": "list, cancel, pause, resume and remove your jobs in an engine",
    "keys": "make, trust, list and revoke the keys of remote engines and clients",
    "render": "render training rigs with Blender, without a screen",
    "data": "prepare training data: list sources, encode latents, find still clips",
    "train": "train the multi-view modules, or the preview model's own parts",
    "evaluate": "measure camera accuracy, synchronisation and picture quality",
    "checkpoint": "convert, inspect and check model files",
    "package": "build the Blender extension and the Unreal plugin",
    "bench": "measure speeds, as ratios within one run",
    "soak": "break the engine on purpose and report what held",
}


def build_parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """Return the parser; only the `wanted` verb's own options are loaded."""
    parser = Parser(
        prog="syncam", description="Synchronised generated video for every camera of a 3-D scene."
    )
    parser.add_argument("--version", action="version", version=f"syncam {__version__}")
    verbs = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        verb = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        if name == wanted:
            module = importlib.import_module(f"syncam_engine.commands.{name}")
            module.configure(verb)
            verb.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; errors that a person can mend are one sentence on stderr, exit status 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    wanted = next((word for word in arguments if not word.startswith("-")), None)
    args = build_parser(wanted).parse_args(arguments)
    args.command_line = arguments
    try:
        return args.run(args)
    except SynCamError as error:
        # An engine that is asked may be anybody's: so may its words.
        print(f"syncam: {printable(str(error))}", file=sys.stderr)
        if error.fix:
            print(f"  fix: {printable(str(error.fix))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("syncam: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of our output (head, less) went away: nothing more to say, and no traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        # A folder that is a file, a disk that is full or read-only: the user's to mend.
        print(f"syncam: {printable(_sentence(error))}", file=sys.stderr)
        return 2


def _sentence(error: OSError) -> str:
    name = error.filename
    text = os.fsdecode(name) if isinstance(name, bytes) else str(name)
    if isinstance(error, FileExistsError | NotADirectoryError):
        there = (path for path in (Path(text), *Path(text).parents) if os.path.lexists(path))
        first = next(there, Path())
        if not first.is_dir():
            return f"{first} is not a folder."
    return f"{text}: {error.strerror}."


if __name__ == "__main__":
    sys.exit(main())
