# SPDX-License-Identifier: Apache-2.0
"""docs/words.md lists what the packaged preview model reads, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

from syncam_engine import preview
from syncam_engine.preview.vocabulary import Vocabulary

PAGE = Path(__file__).parents[2] / "docs" / "words.md"


def test_page_lists_the_vocabulary_and_its_synonyms():
    vocabulary = Vocabulary.read(Path(preview.__file__).parent / "weights")
    text = PAGE.read_text("utf-8")
    rows = re.findall(r"^\| [a-z ]+ \| (.+) \|$", text, re.MULTILINE)
    entries = re.findall(r"(\w+)(?: \(([^)]*)\))?", " ".join(rows))
    words = [word for word, _ in entries]
    assert sorted(words) == sorted(vocabulary.words)
    synonyms = {other: word for word, others in entries for other in re.findall(r"\w+", others)}
    assert synonyms == dict(vocabulary.synonyms)
    assert f"first {vocabulary.max_tokens - 1} words" in text
    for word in {"the", "with", *vocabulary.words, *synonyms}:
        assert not vocabulary.unknown_words(word)
