# SPDX-License-Identifier: Apache-2.0
"""A parser whose refusals are one sentence with the nearest right word, as all other errors are,
and the checks of options that several verbs share."""

from __future__ import annotations

import argparse
import difflib
import math
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from syncam_engine.link.errors import SynCamError

PLAINER = (
    (r"argument (\S+): invalid int value: (.*)", r"\1 is \2, which is not a whole number"),
    (r"argument (\S+): invalid float value: (.*)", r"\1 is \2, which is not a number"),
    (r"argument (\S+): expected one argument", r"\1 needs a value"),
    (r"the following arguments are required: (.*)", r"\1 must be given"),
    (r"argument (-\S+): (?!not allowed)(.*)", r"\1: \2"),
    (r"unrecognized arguments: (.*)", r"nothing takes \1"),
)
"""How argparse says a thing, and how this project does."""


class _Help(argparse.HelpFormatter):
    """Says an option's default where its own words do not, in brackets."""

    def _get_help_string(self, action: argparse.Action) -> str:
        default, said = action.default, action.help or ""
        plain = isinstance(default, (int, float, str)) and not isinstance(default, bool)
        if not plain or default in ("", argparse.SUPPRESS) or "(" in said.split()[-1]:
            return said
        return said if f"({default}" in said or "default" in said else f"{said} ({default})"


class Parser(argparse.ArgumentParser):
    """Prints no usage before what is wrong; the parsers of its verbs are of this class too."""

    _given: Sequence[str] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": _Help, **options})

    def parse_known_args(self, args=None, namespace=None):
        self._given = list(sys.argv[1:] if args is None else args)
        namespace, extra = super().parse_known_args(args, namespace)
        if extra:  # said here, where the options that it may have meant are known
            self.error(f"unrecognized arguments: {' '.join(extra)}")
        return namespace, extra

    def error(self, message: str) -> NoReturn:
        message = (
            self._unknown_option() or self._missing_verb(message) or _nearest_choice(message)
        ) or message
        for said, plainer in PLAINER:
            message = re.sub(f"^{said}$", plainer, message)
        self.exit(2, f"{self.prog}: {message}.\n  fix: {self.prog} --help\n")

    def _unknown_option(self) -> str | None:
        """A misspelt option is why another one is missing, so it is said first."""
        known = list(self._option_string_actions)
        words = self._given[: self._given.index("--")] if "--" in self._given else self._given
        for word in words:
            name = word.partition("=")[0]
            if re.match(r"--\w", name) and not any(option.startswith(name) for option in known):
                return f"there is no option {name}{_nearest(name, known)}"
        return None

    def _missing_verb(self, message: str) -> str | None:
        """Name the verbs instead of the word that stands for them."""
        for action in self._actions:
            is_verb = isinstance(action, argparse._SubParsersAction)
            if is_verb and message.endswith(f"arguments are required: {action.metavar}"):
                return f"one of these must follow: {', '.join(action.choices)}"
        return None


def whole(least: int, most: int):
    """Return what reads a whole number of an option that lies in a range."""

    def parse(text: str) -> int:
        if not text.lstrip("-").isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {least} to {most}")
        return int(text)

    return parse


def above_zero(text: str) -> float:
    """Read a number of an option that is a time or an amount."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def at_least_one(args: argparse.Namespace, *names: str) -> None:
    """Refuse options below 1; those that are not given pass. Raises `SynCamError`."""
    for name in names:
        value = getattr(args, name, None)
        if value is not None and value < 1:
            raise SynCamError(
                "option.form",
                f"--{name} is {value}; it must be at least 1.",
                value=value,
                nearest=1,
            )


def two_numbers(text: str, between: str, name: str, form: str) -> tuple[int, int]:
    """Two whole numbers of an option. Raises `SynCamError` that names it."""
    parts = text.split(between)
    if len(parts) != 2 or not all(part.isdigit() for part in parts):
        raise SynCamError("option.form", f"{name} is {text!r}; it must be {form}.", value=text)
    return int(parts[0]), int(parts[1])


def _nearest(word: str, among: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, among, 1, 0.5)
    return f"; the nearest is {near[0]}" if near else ""


def _nearest_choice(message: str) -> str | None:
    """Put the nearest choice before the list of all."""
    found = re.match(r"argument (.+?): invalid choice: (.+?) \(choose from (.+)\)$", message)
    if found is None:
        return None
    what, value, listed = found.groups()
    choices = [choice.strip("'") for choice in listed.split(", ")]
    nearest = _nearest(value.strip("'"), choices)
    return f"{what} is {value}{nearest}; it must be one of {', '.join(choices)}"
