# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that takes several ticks: one step of it, and what it fails by in a sentence. Pure: no bpy.

Between two steps Blender may take away what is worked on (an undo, another add-on, another file).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from syncam_engine.link.errors import SynCamError

FAULTS = (
    ReferenceError,
    RuntimeError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    StopIteration,
    BufferError,
    MemoryError,
)
"""What Python raises when Blender takes away what is worked on, or a number is too odd."""


def advance(work: Iterator[None]) -> tuple[bool, SynCamError | None]:
    """Do one step; return whether the work has ended, and by which error."""
    try:
        next(work)
    except StopIteration:
        return True, None
    except SynCamError as error:
        return True, error
    except OSError as error:
        sentence = f"{error.filename or 'A file'} cannot be used: {error.strerror}."
        return True, SynCamError("job.task", sentence)
    except FAULTS as error:
        traceback.print_exc()
        sentence = f"The scene changed under the job ({error}); run it again."
        return True, SynCamError("job.task", sentence)
    return False, None
