# SPDX-License-Identifier: Apache-2.0
"""How far a job is, from the engine's events to the history's words. Knows no `unreal`."""

from __future__ import annotations

from syncam_engine.link.messages import Phase, Progress, Queued

from .panel_state import JobRecord

PHASES = {
    "load": "Loading the model",
    "encode": "Encoding",
    "sample": "Sampling",
    "decode": "Decoding",
    "write": "Writing the clips",
}


def take(job: JobRecord, event: Queued | Phase | Progress) -> None:
    """Bring the job's state, sentence and progress up to what the event says."""
    if isinstance(event, Queued):
        job.state = "queued"
        job.sentence = "Paused." if event.paused else f"Waiting, place {event.position}."
    elif isinstance(event, Phase):
        job.state, job.sentence = "running", f"{PHASES.get(event.phase, event.phase)}."
    else:
        job.state = "running"
        job.progress = min(1.0, event.step / max(1, event.steps))
        left = f", about {event.eta_s:.0f} s left" if event.eta_s else ""
        job.sentence = f"Step {event.step} of {event.steps}{left}."
