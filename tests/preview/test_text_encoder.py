# SPDX-License-Identifier: Apache-2.0
"""The closed vocabulary and the small text encoder."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from syncam_engine.link.errors import SynCamError
from syncam_engine.model.interfaces import TextEncoder
from syncam_engine.model.kinds import kind_of
from syncam_engine.model.presets import get_preset
from syncam_engine.preview.text_encoder import WordTextEncoder, WordTextEncoderConfig
from syncam_engine.preview.vocabulary import (
    BEGIN,
    FIRST_WORD,
    Vocabulary,
    prompt_issues,
)

CAPTIONS = [
    "a man in a red jacket walks across a stone plaza at sunset",
    "a woman in a grey coat walks along a street at noon",
    "a dog trots across a meadow at noon",
]


@pytest.fixture
def vocabulary():
    return Vocabulary.from_captions(CAPTIONS, max_tokens=9, capacity=40)


def test_words_of_a_caption_become_ids_in_their_order(vocabulary):
    ids = vocabulary.encode("A dog TROTS across the meadow, at noon!")
    assert ids[0] == BEGIN
    words = [vocabulary.words[i - FIRST_WORD] for i in ids[1:]]
    assert words == ["dog", "trots", "across", "meadow", "noon"]


def test_synonyms_and_plurals_find_their_word(vocabulary):
    assert vocabulary.encode("puppies") == [BEGIN]
    assert vocabulary.encode("puppy") == vocabulary.encode("dogs") == vocabulary.encode("dog")
    assert vocabulary.encode("walking") == vocabulary.encode("walks")
    assert vocabulary.encode("gray") == vocabulary.encode("grey")


def test_unknown_words_are_reported_once_and_stop_words_are_not(vocabulary):
    prompt = "the dragon and a dog on a dragon's zeppelin"
    assert vocabulary.unknown_words(prompt) == ["dragon", "zeppelin"]
    assert vocabulary.unknown_words("") == []


def test_long_prompts_are_cut_and_said(vocabulary):
    prompt = "red grey man woman dog street plaza meadow noon sunset"
    assert len(vocabulary.encode(prompt)) == 9
    assert vocabulary.is_too_long(prompt)
    assert not vocabulary.is_too_long("a red dog")


def test_new_words_are_appended_and_old_ids_stay(vocabulary):
    grown = Vocabulary.from_captions(
        [*CAPTIONS, "a purple zebra"], keep=vocabulary.words, max_tokens=9, capacity=40
    )
    assert grown.encode(CAPTIONS[0]) == vocabulary.encode(CAPTIONS[0])
    assert grown.unknown_words("purple zebra") == []
    with pytest.raises(ValueError, match="do not fit"):
        Vocabulary.from_captions(CAPTIONS, capacity=5)


def test_vocabulary_file_round_trip_and_faults(vocabulary, tmp_path):
    vocabulary.write(tmp_path)
    assert Vocabulary.read(tmp_path) == vocabulary
    (tmp_path / "vocabulary.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(SynCamError, match="not a SynCam vocabulary"):
        Vocabulary.read(tmp_path)


@pytest.mark.processes
def test_vocabulary_needs_no_torch():
    code = (
        "import sys; import syncam_engine.preview.vocabulary; "
        "raise SystemExit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_words_that_a_preset_cannot_read_are_said_before_the_job(vocabulary, tmp_path):
    shipped = get_preset("preview")
    preset = replace(shipped, source=replace(shipped.source, base=str(tmp_path)))
    assert prompt_issues(preset, "a dragon") == []  # no vocabulary there: nothing to say
    vocabulary.write(tmp_path)
    assert prompt_issues(preset, "a red dog on the street") == []
    (issue,) = prompt_issues(preset, "a red dragon on a street")
    assert (issue.kind, issue.value) == ("warn", ["dragon"])
    assert issue.sentence == "This preset does not know 'dragon'; it reads: red street."
    long = "red grey man woman dog street plaza meadow noon sunset"
    assert [i.code for i in prompt_issues(preset, long)] == ["prompt.too_many_words"]
    hub = replace(preset, source=replace(preset.source, kind="diffusers"))
    assert kind_of(hub).prompt_issues(hub, "a dragon") == []
    assert kind_of(preset).prompt_issues(preset, "a dragon")


@pytest.fixture
def encoder(vocabulary):
    torch.manual_seed(1)
    return WordTextEncoder(vocabulary, WordTextEncoderConfig(width=16, layers=1, heads=2)).eval()


def test_it_is_what_the_sampler_asks_for(encoder):
    assert isinstance(encoder, TextEncoder)
    tokens, mask = encoder.encode(["", "a red dog"])
    assert tokens.shape == (2, 9, 16)
    assert mask.sum(1).tolist() == [1, 3]
    assert (tokens[~mask] == 0).all()


def test_word_order_and_words_count_but_padding_does_not(encoder):
    tokens, _ = encoder.encode(["red dog", "dog red", "red dog"])
    assert not torch.allclose(tokens[0], tokens[1])
    alone, _ = encoder.encode(["red dog"])
    assert torch.allclose(alone[0], tokens[2], atol=1e-6)
    together, _ = encoder.encode(["red dog", "red grey man woman dog street plaza"])
    assert torch.allclose(together[0], alone[0], atol=1e-6)


def test_word_skip_starts_as_nothing_and_adds_each_words_own_vector(encoder, vocabulary, tmp_path):
    config = replace(encoder.config, word_skip=True)
    skipping = WordTextEncoder(vocabulary, config).eval()
    lacking, _ = skipping.load_state_dict(encoder.state_dict(), strict=False)
    assert lacking == ["word_skip.weight"]
    prompts = ["a red dog", "red dog"]
    assert torch.equal(skipping.encode(prompts)[0], encoder.encode(prompts)[0])
    torch.nn.init.normal_(skipping.word_skip.weight)
    more = skipping.encode(prompts)[0] - encoder.encode(prompts)[0]
    red = vocabulary.encode("red")[-1]
    place = vocabulary.encode("a red dog").index(red)
    torch.testing.assert_close(more[0, place], skipping.word_skip.weight[red])
    assert (more[1, len(vocabulary.encode("red dog")) :] == 0).all()
    skipping.save(tmp_path)
    assert WordTextEncoder.load(tmp_path).config == config


def test_saved_and_read_again(encoder, tmp_path):
    encoder.save(tmp_path)
    read = WordTextEncoder.load(tmp_path)
    a, b = (e.encode(["a man in a red jacket"])[0] for e in (encoder, read))
    assert torch.allclose(a, b, atol=1e-2)
    with pytest.raises(SynCamError, match="is not there"):
        WordTextEncoder.load(tmp_path / "nowhere")
