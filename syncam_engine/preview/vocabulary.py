# SPDX-License-Identifier: Apache-2.0
"""The closed vocabulary of the preview model, readable without torch.

A prompt becomes word ids; words that the model never saw are reported, not guessed at.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from syncam_engine.link import json_text
from syncam_engine.link.envelope import EnvelopeIssue
from syncam_engine.link.errors import SynCamError, reason_of
from syncam_engine.model.presets import Preset, package_folder

VOCABULARY_FILE = "vocabulary.json"
PADDING, BEGIN = 0, 1
FIRST_WORD = 2

# Words that carry nothing for this model: passed over without a report.
STOP_WORDS = frozenset(
    {
        "a",
        "an",
        "the",
        "of",
        "and",
        "is",
        "are",
        "with",
        "in",
        "on",
        "at",
        "to",
        "it",
        "its",
        "his",
        "her",
        "their",
        "there",
        "this",
        "that",
        "by",
        "from",
        "while",
        "as",
        "one",
        "very",
        "some",
    }
)

# What people write -> what the captions say. Only entries whose target is in the vocabulary, and
# whose left side is not, count.
SYNONYMS = {
    "human": "person",
    "pedestrian": "person",
    "figure": "person",
    "character": "person",
    "guy": "man",
    "lady": "woman",
    "male": "man",
    "female": "woman",
    "kid": "boy",
    "child": "boy",
    "elderly": "old",
    "puppy": "dog",
    "hound": "dog",
    "bull": "cow",
    "ox": "cow",
    "pony": "horse",
    "lamb": "sheep",
    "creature": "animal",
    "walking": "walks",
    "walk": "walks",
    "strolling": "strolls",
    "stroll": "strolls",
    "running": "runs",
    "run": "runs",
    "jogging": "runs",
    "jogs": "runs",
    "sprinting": "runs",
    "sprints": "runs",
    "trotting": "trots",
    "trot": "trots",
    "galloping": "runs",
    "gallops": "runs",
    "standing": "stands",
    "stand": "stands",
    "waving": "waves",
    "wave": "waves",
    "dancing": "dances",
    "dance": "dances",
    "sitting": "sits",
    "sit": "sits",
    "talking": "talks",
    "talk": "talks",
    "clapping": "claps",
    "clap": "claps",
    "stretching": "stretches",
    "stretch": "stretches",
    "grazing": "grazes",
    "graze": "grazes",
    "eating": "grazes",
    "sniffing": "sniffs",
    "looking": "looks",
    "gesturing": "gestures",
    "crossing": "across",
    "crosses": "across",
    "gray": "grey",
    "crimson": "red",
    "scarlet": "red",
    "azure": "blue",
    "navy": "blue",
    "violet": "purple",
    "golden": "yellow",
    "tan": "beige",
    "turquoise": "teal",
    "piazza": "plaza",
    "courtyard": "square",
    "road": "street",
    "avenue": "street",
    "town": "city",
    "urban": "city",
    "grass": "meadow",
    "grassy": "meadow",
    "park": "meadow",
    "lawn": "meadow",
    "field": "meadow",
    "prairie": "meadow",
    "snow": "snowy",
    "winter": "snowy",
    "sand": "sandy",
    "shore": "beach",
    "seaside": "beach",
    "coast": "beach",
    "dunes": "desert",
    "dune": "desert",
    "paving": "paved",
    "cobblestone": "cobbled",
    "stone": "paved",
    "dusk": "sunset",
    "twilight": "sunset",
    "evening": "sunset",
    "dawn": "morning",
    "sunrise": "morning",
    "midday": "noon",
    "sunny": "noon",
    "cloudy": "overcast",
    "tshirt": "t",
    "tee": "t",
    "blouse": "shirt",
    "sweater": "hoodie",
    "jumper": "hoodie",
    "gown": "dress",
    "parka": "coat",
    "overcoat": "coat",
    "blazer": "jacket",
}


def split_words(prompt: str) -> list[str]:
    """Lower-case words of a prompt, punctuation and possessives dropped."""
    return re.findall(r"[^\W\d_]+", prompt.lower().replace("'s", ""))


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Word list with ids from `FIRST_WORD` up, and the synonyms that lead into it."""

    words: tuple[str, ...]
    synonyms: Mapping[str, str] = field(default_factory=dict)
    max_tokens: int = 24
    """Tokens of an encoded prompt, the begin token included."""
    capacity: int = 256
    """Rows of the embedding table: words added later take free rows, old ids stay."""

    def __post_init__(self) -> None:
        if FIRST_WORD + len(self.words) > self.capacity:
            raise ValueError(f"{len(self.words)} words do not fit a table of {self.capacity} rows")

    @classmethod
    def from_captions(
        cls,
        captions: Iterable[str],
        *,
        max_tokens: int = 24,
        capacity: int = 256,
        keep: tuple[str, ...] = (),
    ) -> Vocabulary:
        """All words of the captions, most frequent first; `keep` words hold their old ids."""
        counts = Counter(w for text in captions for w in split_words(text) if w not in STOP_WORDS)
        fresh = sorted((w for w in counts if w not in keep), key=lambda w: (-counts[w], w))
        words = (*keep, *fresh)
        known = set(words)
        synonyms = {a: b for a, b in SYNONYMS.items() if b in known and a not in known}
        return cls(words=words, synonyms=synonyms, max_tokens=max_tokens, capacity=capacity)

    def word_or_none(self, word: str) -> str | None:
        """The vocabulary's word for `word`: itself, a synonym, or its singular."""
        known = set(self.words)
        singular = word[:-1] if word.endswith("s") else word
        candidates = (word, self.synonyms.get(word), singular, self.synonyms.get(singular))
        return next((w for w in candidates if w in known), None)

    def encode(self, prompt: str) -> list[int]:
        """Ids of the prompt's known words after the begin token, at most `max_tokens`."""
        ids = {word: FIRST_WORD + i for i, word in enumerate(self.words)}
        found = (self.word_or_none(w) for w in split_words(prompt) if w not in STOP_WORDS)
        return [BEGIN, *(ids[w] for w in found if w is not None)][: self.max_tokens]

    def unknown_words(self, prompt: str) -> list[str]:
        """Words of the prompt that the model never saw, in order, each once."""
        words = (w for w in split_words(prompt) if w not in STOP_WORDS)
        return list(dict.fromkeys(w for w in words if self.word_or_none(w) is None))

    def is_too_long(self, prompt: str) -> bool:
        """Whether known words at the prompt's end are cut off."""
        known = [w for w in split_words(prompt) if w not in STOP_WORDS and self.word_or_none(w)]
        return 1 + len(known) > self.max_tokens

    def write(self, folder: Path) -> Path:
        path = Path(folder) / VOCABULARY_FILE
        document = {
            "format": "syncam-vocabulary",
            "version": 1,
            "max_tokens": self.max_tokens,
            "capacity": self.capacity,
            "words": list(self.words),
            "synonyms": dict(sorted(self.synonyms.items())),
        }
        path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
        return path

    @classmethod
    def read(cls, folder: Path) -> Vocabulary:
        """Raises `SynCamError` when the file is missing or of another kind."""
        path = Path(folder) / VOCABULARY_FILE
        try:
            document = json_text.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise SynCamError(
                "weights.missing",
                f"The vocabulary {path} cannot be read: {reason_of(error)}",
                value=str(path),
            ) from error
        if document.get("format") != "syncam-vocabulary" or document.get("version") != 1:
            raise SynCamError(
                "weights.format", f"{path} is not a SynCam vocabulary, version 1.", value=str(path)
            )
        return cls(
            words=tuple(document["words"]),
            synonyms=document["synonyms"],
            max_tokens=document["max_tokens"],
            capacity=document["capacity"],
        )


def prompt_issues(preset: Preset, prompt: str) -> list[EnvelopeIssue]:
    """What of a prompt the preset's own vocabulary cannot read.

    For the server, before a job is accepted: the words are allowed, and said.
    """
    folder = package_folder(preset.source.base)
    if not (folder / VOCABULARY_FILE).is_file():
        return []
    vocabulary = Vocabulary.read(folder)
    issues = []
    unknown = vocabulary.unknown_words(prompt)
    if unknown:
        known = [w for w in split_words(prompt) if vocabulary.word_or_none(w)]
        read = f"it reads: {' '.join(known)}" if known else "it reads nothing of the prompt"
        issues.append(
            EnvelopeIssue(
                kind="warn",
                code="prompt.unknown_words",
                sentence=f"This preset does not know {', '.join(map(repr, unknown))}; {read}.",
                value=unknown,
            )
        )
    if vocabulary.is_too_long(prompt):
        issues.append(
            EnvelopeIssue(
                kind="warn",
                code="prompt.too_many_words",
                sentence=f"This preset reads the first {vocabulary.max_tokens - 1} words it knows; "
                "the prompt has more.",
                nearest=vocabulary.max_tokens - 1,
            )
        )
    return issues
