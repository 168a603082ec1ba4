# SPDX-License-Identifier: GPL-3.0-or-later
"""Captions from what is in the scene, in a small closed vocabulary."""

from render_rigs.scene import Actor, Place

_MOVING = {"walk", "run", "stroll", "trot", "gallop", "fly"}


def caption(place: Place, actors: list[Actor]) -> str:
    """ "a man in a red jacket walks across a stone plaza at sunset"."""
    where = f"{place.words} {place.light.words}"
    parts = []
    for number, actor in enumerate(actors):
        moving = actor.action in _MOVING
        link = place.preposition if moving else place.at
        end = f" {link} {where}" if number == len(actors) - 1 else ""
        parts.append(f"{actor.caption} {actor.info['verb']}{end}")
    return " and ".join(parts)
