# SPDX-License-Identifier: Apache-2.0
"""The one error type that crosses processes and reaches people."""

from __future__ import annotations

from typing import Any

EXIT_ENGINE_RUNS = 75
"""Exit status of `syncam serve` where another engine has the state folder (EX_TEMPFAIL)."""


class SynCamError(Exception):
    """A fault that a person can understand and usually mend.

    `code` is stable and dotted ("camera.orthographic"); `sentence` names the camera or field, the
    offending value and what would be right; `value` and `nearest` are plain data for a program;
    `fix` is a short imperative that a user interface can put on a button.
    """

    def __init__(
        self,
        code: str,
        sentence: str,
        *,
        value: Any = None,
        nearest: Any = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.value = value
        self.nearest = nearest
        self.fix = fix

    def __repr__(self) -> str:
        return f"SynCamError({self.code!r}, {self.sentence!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is pickled by its arguments alone, which here lack the code.
        return SynCamError.from_dict, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the wire and for files."""
        return {
            "code": self.code,
            "sentence": self.sentence,
            "value": self.value,
            "nearest": self.nearest,
            "fix": self.fix,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SynCamError:
        return cls(
            data["code"],
            data["sentence"],
            value=data.get("value"),
            nearest=data.get("nearest"),
            fix=data.get("fix"),
        )


def reason_of(error: Exception) -> str:
    """Return why, without the number and the path that an OSError's own text has too."""
    return str(getattr(error, "strerror", None) or error)
