# SPDX-License-Identifier: Apache-2.0
"""Words that the command does not know are refused in one sentence with the nearest one."""

from __future__ import annotations

import pytest

from syncam_engine.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evalute rigs", "syncam: COMMAND is 'evalute'; the nearest is evaluate; it must be one "),
        ("jobs remvoe 12ab", "syncam jobs: VERB is 'remvoe'; the nearest is remove; it must be "),
        ("jobs xyzq", "syncam jobs: VERB is 'xyzq'; it must be one of list, cancel, pause,"),
        # What is missing is missing because it was misspelt.
        ("generate --promt x", "there is no option --promt; the nearest is --prompt.\n"),
        ("render --fats", "syncam render: there is no option --fats; the nearest is --fast.\n"),
        ("--zzz", "syncam: there is no option --zzz.\n"),
        ("bench wire --rond=3", "syncam bench wire: there is no option --rond; the nearest is --"),
        ("train", "syncam train: config must be given.\n"),
        ("evaluate rigs more --out x", "syncam evaluate rigs: nothing takes more.\n"),
        ("render --scenes many", "render: --scenes is 'many', which is no whole number.\n"),
        ("render --radius 9-3", "syncam render: --radius: '9-3' is not MIN-MAX.\n"),
    ],
)
def test_mistyped_words_are_one_sentence_with_the_nearest(words, said, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words.split())
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert "usage" not in error
    assert error.splitlines()[1].startswith("  fix: syncam")
