# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person looks like: the parameters, drawn at random, and the words for a caption."""

from dataclasses import dataclass

import numpy as np

from render_rigs.mesh import rgb

SKINS = {
    "pale": "#f0cdb4",
    "fair": "#e3b18f",
    "tan": "#c68f66",
    "olive": "#b58357",
    "brown": "#8d5a3a",
    "dark": "#5a3825",
}
HAIRS = {
    "black": "#17130f",
    "dark": "#3a2618",
    "brown": "#5f3d22",
    "red": "#8c3f1a",
    "blond": "#cda35c",
    "grey": "#9a9894",
    "white": "#dcdad4",
}
COLORS = {
    "red": "#b8262a",
    "blue": "#2453a8",
    "green": "#2d7a43",
    "yellow": "#dfb425",
    "white": "#e8e6df",
    "black": "#1f2024",
    "orange": "#d96b1d",
    "purple": "#6b3a94",
    "pink": "#dc7f9d",
    "grey": "#7d8084",
    "brown": "#6d4a2f",
    "teal": "#1f7f83",
}
LEG_COLORS = {
    "blue": "#2d4468",
    "black": "#202124",
    "grey": "#5b5f66",
    "brown": "#5f4630",
    "beige": "#b9a27c",
    "white": "#dbd8d0",
    "green": "#47543a",
}
TOPS = ("jacket", "shirt", "t-shirt", "hoodie", "coat", "vest")
HATS = ("none", "none", "none", "none", "cap", "hat", "beanie", "helmet")


@dataclass(frozen=True, slots=True, kw_only=True)
class HumanShape:
    gender: str
    age: str
    """child, young, adult or old"""
    height_m: float
    weight: float
    """0.85 slim .. 1.25 heavy, scales widths"""
    skin: str
    hair: str
    hair_style: str
    top: str
    top_color: str
    bottom: str
    bottom_color: str
    hat: str
    hat_color: str
    bag: str
    beard: bool
    glasses: bool
    shoe_color: str
    face_seed: int

    @property
    def noun(self) -> str:
        if self.age == "child":
            return "boy" if self.gender == "male" else "girl"
        noun = "man" if self.gender == "male" else "woman"
        return f"old {noun}" if self.age == "old" else noun

    @property
    def outfit(self) -> str:
        if self.bottom == "dress":
            return f"a {self.top_color} dress"
        article = "an" if self.top_color[0] in "aeiou" else "a"
        return f"{article} {self.top_color} {self.top}"

    def caption(self) -> str:
        """ "a man in a red jacket"."""
        article = "an" if self.noun[0] in "aeiou" else "a"
        return f"{article} {self.noun} in {self.outfit}"

    def details(self) -> str:
        """Longer: hair, lower clothes, hat, bag."""
        words = [f"{self.hair} hair" if self.hair_style != "bald" else "a bald head"]
        if self.bottom != "dress":
            words.append(f"{self.bottom_color} {self.bottom}")
        if self.hat != "none":
            article = "an" if self.hat_color[0] in "aeiou" else "a"
            words.append(f"{article} {self.hat_color} {self.hat}")
        if self.bag != "none":
            words.append(f"a {self.bag}")
        return ", ".join(words)


def draw_human(rng: np.random.Generator) -> HumanShape:
    """Draw one person."""

    def pick(values, p=None):
        values = list(values)
        return values[rng.choice(len(values), p=p)]

    gender = pick(("male", "female"))
    age = pick(("child", "young", "adult", "old"), (0.12, 0.33, 0.4, 0.15))
    mean = {"male": 1.77, "female": 1.66}[gender]
    height = rng.normal(mean, 0.06) if age != "child" else rng.uniform(1.15, 1.4)
    hair = (
        pick(("grey", "white"))
        if age == "old"
        else pick(("black", "dark", "brown", "red", "blond"))
    )
    styles = (
        ("short", "short", "side", "afro", "bald", "crop")
        if gender == "male"
        else ("long", "bob", "ponytail", "bun", "long", "afro", "short")
    )
    if age == "child" and gender == "male":
        styles = ("short", "side", "crop")
    bottom = (
        pick(("trousers", "trousers", "shorts"))
        if gender == "male"
        else pick(("trousers", "trousers", "skirt", "dress", "shorts"))
    )
    top_color = pick(COLORS)
    return HumanShape(
        gender=gender,
        age=age,
        height_m=float(np.clip(height, 1.1, 1.98)),
        weight=float(rng.uniform(0.88, 1.22)),
        skin=pick(SKINS),
        hair=hair,
        hair_style=pick(styles),
        top=pick(TOPS),
        top_color=top_color,
        bottom=bottom,
        bottom_color=pick(LEG_COLORS),
        hat=pick(HATS),
        hat_color=pick(COLORS),
        bag=pick(("none", "none", "none", "backpack", "shoulder bag")),
        beard=bool(gender == "male" and age != "child" and rng.random() < 0.3),
        glasses=bool(rng.random() < 0.15),
        shoe_color=pick(("#26221f", "#d8d6d0", "#5a3b26", "#8c2b2b", "#2b3c5e")),
        face_seed=int(rng.integers(2**31)),
    )


def shoulders(shape: HumanShape) -> float:
    """How wide the shoulders are, 1 for the grown average."""
    wide = {"male": 1.06, "female": 0.93}[shape.gender]
    return wide * (0.92 if shape.age == "child" else 1.0) * (0.85 + 0.15 * shape.weight)


def colors_of(shape: HumanShape) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """sRGB colours [3] of the skin, the top and what the legs wear."""
    top = rgb(COLORS[shape.top_color])
    bottom = top if shape.bottom == "dress" else rgb(LEG_COLORS[shape.bottom_color])
    return rgb(SKINS[shape.skin]), top, bottom
