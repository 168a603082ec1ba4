# SPDX-License-Identifier: Apache-2.0
"""Progressive angles: wrapped differences, eligible sets by both rules, kept beside the data."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from syncam_engine.data.angles import (
    angle_table,
    azimuths_deg,
    cached_angle_table,
    eligible_sets,
    nth_set,
    relative_angles_deg,
)
from syncam_engine.link.hemisphere import hemisphere_pose_c2w_cv_m
from tests.data.synthetic import make_scene


def scene_at(*azimuths: float, number: int = 0):
    poses = [hemisphere_pose_c2w_cv_m((1, -2, 1), 5.0, a, 13 + k) for k, a in enumerate(azimuths)]
    scene = make_scene(number, cameras=len(azimuths))
    return replace(scene, c2w_cv_m_CT44=np.array(poses, np.float32)[:, None])


def test_angles_wrap_at_360():
    relative = relative_angles_deg(np.array([359.0, 1.0, 181.5]))
    assert relative[0, 1] == pytest.approx(2.0)
    assert relative[1, 2] == pytest.approx(179.5)


def test_azimuth_differences_are_those_of_the_placement():
    scene = scene_at(350, 20, 130)
    relative = relative_angles_deg(azimuths_deg(scene))
    assert relative[0, 1] == pytest.approx(30, abs=1e-3)
    assert relative[0, 2] == pytest.approx(140, abs=1e-3)


def test_anchor_rule_holds_from_the_anchor_only():
    relative = relative_angles_deg(np.array([0.0, 70.0, 110.0, 290.0]))
    sets = eligible_sets(relative, (60, 120), 4, "anchor")
    assert (0, 1, 2, 3) in sets
    for anchor, *others in sets:
        assert all(60 <= relative[anchor, c] <= 120 for c in others)


def test_pairwise_rule_holds_between_all_and_can_be_impossible():
    relative = relative_angles_deg(np.array([0.0, 65.0, 130.0, 250.0]))
    three = eligible_sets(relative, (60, 120), 3, "pairwise")
    assert three == []
    relative = relative_angles_deg(np.array([0.0, 119.0, 241.0, 1.0]))
    three = eligible_sets(relative, (60, 122), 3, "pairwise")
    assert {frozenset(s) for s in three} == {frozenset((0, 1, 2)), frozenset((3, 1, 2))}
    assert eligible_sets(relative, (60, 122), 4, "pairwise") == []


def test_many_sets_are_thinned_evenly():
    relative = relative_angles_deg(np.arange(0, 360, 10.0))
    sets = eligible_sets(relative, (0, 60), 4, "anchor", limit=360)
    anchors = [s[0] for s in sets]
    assert {anchors.count(a) for a in range(36)} == {10}
    assert len(set(sets)) == 360
    assert sets == eligible_sets(relative, (0, 60), 4, "anchor", limit=360)


def test_sets_are_numbered_in_their_order():
    for count, size in ((7, 3), (6, 6), (5, 1), (4, 0)):
        every = list(itertools.combinations(range(count), size))
        assert [nth_set(range(count), size, i) for i in range(len(every))] == every
    # 324,632 sets of five for each anchor: they are counted, and 55 of them built.
    azimuths = np.linspace(0, 350, 36)
    sets = eligible_sets(relative_angles_deg(azimuths), (0, 180), 6)
    assert len(sets) == len(set(sets)) == 36 * 55
    assert all(len(set(cameras)) == 6 for cameras in sets)


def test_table_names_scenes_that_cannot_and_is_kept(tmp_path):
    scenes = [scene_at(0, 10, 20, number=0), scene_at(0, 90, 180, number=1)]
    table = cached_angle_table(tmp_path, scenes, (0, 30), 3)
    assert table.without == ("scene-00001",)
    assert set(table.sets) == {"scene-00000"}
    kept = json.loads((tmp_path / "angles.json").read_text())
    assert "anchor-3-0-30" in kept["tables"]
    again = cached_angle_table(tmp_path, scenes, (0, 30), 3)
    assert again == table
    grown = cached_angle_table(tmp_path, [*scenes, scene_at(3, 5, 7, number=2)], (0, 30), 3)
    assert "scene-00002" in grown.sets


def test_a_kept_table_of_other_cameras_or_a_damaged_one_is_made_anew(tmp_path):
    cached_angle_table(tmp_path, [scene_at(0, 10, 20, 25)], (0, 30), 3)
    rendered_again = [scene_at(0, 90, 100)]
    table = cached_angle_table(tmp_path, rendered_again, (0, 30), 2)
    assert table == angle_table(rendered_again, (0, 30), 2)
    table = cached_angle_table(tmp_path, rendered_again, (0, 30), 3)
    assert table.without == ("scene-00000",)
    (tmp_path / "angles.json").write_text('{"format": "syncam-an')
    assert cached_angle_table(tmp_path, rendered_again, (0, 30), 3) == table


def test_hemisphere_scene_has_sets_in_all_three_stages():
    scene = make_scene(4, cameras=36)
    for degrees in ((0, 60), (30, 90), (60, 120)):
        table = angle_table([scene], degrees, 4)
        relative = relative_angles_deg(azimuths_deg(scene))
        for anchor, *others in table.sets[scene.key]:
            for c in others:
                assert degrees[0] - 1e-3 <= relative[anchor, c] <= degrees[1] + 1e-3
    assert math.isclose(relative.max(), 180, abs_tol=15)
