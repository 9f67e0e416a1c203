"""What scores and measured properties are called, which question each answers, and its order."""

from __future__ import annotations

from collections.abc import Iterable

#: The questions of a score card, in the order of the page.
QUESTIONS = {
    "real": "Is it real?",
    "physical": "Is it physical?",
    "new": "Is it new?",
}
_LOWER, _HIGHER, _FLOOR = "lower is better", "higher is better", "best at its floor"
#: Scores that are taken in the features of an extractor: name, what it is and which way is better.
_FEATURE_SCORES = {
    "frechet_infinity": ("Fréchet distance at infinite n", "extrapolated", _LOWER),
    "frechet": ("Fréchet distance", "", _LOWER),
    "kid": ("Kernel distance", "KID, unbiased", _LOWER),
    "precision": ("Precision", "generated galaxies among real ones", _HIGHER),
    "recall": ("Recall", "real galaxies among generated ones", _HIGHER),
    "density": ("Density", "how many real galaxies a generated one is among", _HIGHER),
    "coverage": ("Coverage", "real galaxies with a generated one near", _HIGHER),
    "diversity": ("Diversity", "how far generated galaxies lie apart", _HIGHER),
    "repeats": ("Repeats", "generated galaxies with a twin among them", _LOWER),
}
#: Extractors that come first, in this order; a user's own follow.
_EXTRACTORS = {
    "galaxy": "galaxy network",
    "inception": "Inception network",
    "physics": "measured physics",
}
#: Measured properties: text without a unit.
PROPERTIES = {
    "magnitude": "magnitude",
    "absolute_magnitude": "absolute magnitude",
    "colour": "colour",
    "colour_early": "colour of early types",
    "colour_late": "colour of late types",
    "r_half": "half-light radius",
    "r_petro": "Petrosian radius",
    "sersic_n": "Sérsic index",
    "ellipticity": "ellipticity",
    "gini": "Gini coefficient",
    "m20": "M20",
    "concentration": "concentration",
    "asymmetry": "asymmetry",
    "smoothness": "smoothness",
    "orientation": "orientation",
    "bulge": "bulge statistic",
}
_PROPER = ("Fréchet", "Gini", "M20", "Petrosian", "Sérsic")
_SPACES = {
    "pixels": "pixels",
    "aligned": "aligned pixels",
    "polar": "rings around the centre",
}
_PHYSICAL = {
    "detected": ("Galaxies detected", "fraction of the images", _FLOOR),
    "colour_magnitude": ("In the colour-magnitude box", "fraction of the galaxies", _FLOOR),
    "morphology": ("Shapes", "mean distance", _LOWER),
    "spectrum": ("Power spectrum", "mean distance", _LOWER),
    "bulge": ("Bulge and colours by type", "mean distance", _LOWER),
    "wasserstein": ("Properties together", "mean distance of the groups", _LOWER),
    "rmae": ("Radio histograms", "mean RMAE", _LOWER),
}
_RADIO = {
    "intensities": "pixel intensities",
    "activated": "pixels above 0",
    "sumI": "summed intensities",
}
_NEAR = "nearer to a training image than 99 % of held-out galaxies"


def title(name: str) -> str:
    """A score's name in words.

    >>> title("kid_galaxy")
    'Kernel distance, galaxy network'
    >>> title("wasserstein_r_half")
    'Half-light radius'
    """
    return _described(name)[0]


def about(name: str) -> str:
    """What a score is, in a few words; may be empty."""
    return _described(name)[1]


def better(name: str) -> str:
    """Which way a score is better; empty where nothing is known of it."""
    return _described(name)[2]


def question(name: str) -> str:
    """Which of `QUESTIONS` a score answers; what nobody knows is asked of its realness."""
    if name.startswith(("copies", "nearer", "nearest")):
        return "new"
    if name in _PHYSICAL or name.startswith(("wasserstein_", "rmae")):
        return "physical"
    return "real"


def order(names: Iterable[str]) -> list[str]:
    """Names by question, the most telling first; the rest as they come."""
    questions, extractors, kinds = list(QUESTIONS), list(_EXTRACTORS), list(_FEATURE_SCORES)
    # As the page reads: the distance itself before what it becomes with more galaxies.
    kinds[:2] = kinds[1::-1]

    def place(name: str) -> tuple[int, int, str, int]:
        asked = questions.index(question(name))
        if asked == 1:
            return asked, 0 if name in _PHYSICAL else 1, "", 0
        kind, extractor = split(name)
        if not kind:
            return asked, len(extractors) + 1, "", 0
        known = extractor in extractors
        number = extractors.index(extractor) if known else len(extractors)
        return asked, number, extractor, kinds.index(kind)

    return sorted(names, key=place)


def split(name: str) -> tuple[str, str]:
    """Kind of score and extractor; two empty texts for a score of something else.

    >>> split("frechet_infinity_zoobot")
    ('frechet_infinity', 'zoobot')
    """
    for kind in _FEATURE_SCORES:
        if name.startswith(f"{kind}_"):
            return kind, name.removeprefix(f"{kind}_")
    return "", ""


def in_space(space: str) -> str:
    """A space that copies are looked for in, in words."""
    if space in _EXTRACTORS:
        return f"features of the {_EXTRACTORS[space]}".replace("of the measured", "of measured")
    return _SPACES.get(space, f"features of {space}")


def of_features(extractor: str) -> str:
    """An extractor in words."""
    return _EXTRACTORS.get(extractor, extractor)


def property_name(name: str) -> str:
    """A measured property in words, without its unit."""
    if name not in PROPERTIES and "-" in name:
        return name.replace("-", " \N{MINUS SIGN} ")
    if name.startswith("mag_"):
        return f"{name.removeprefix('mag_')} magnitude"
    return PROPERTIES.get(name, name.replace("_", " "))


def _described(name: str) -> tuple[str, str, str]:
    kind, extractor = split(name)
    if name in _FEATURE_SCORES:
        return _FEATURE_SCORES[name]
    if kind:
        text, what, way = _FEATURE_SCORES[kind]
        return f"{text}, {of_features(extractor)}", what, way
    if name in _PHYSICAL:
        return _PHYSICAL[name]
    if name.startswith("wasserstein_"):
        what = name.removeprefix("wasserstein_")
        # A band's letter stays as it is: r is not R.
        text = property_name(what)
        text = capital(text) if what in PROPERTIES else text
        return text, "distance in real standard deviations", _LOWER
    if name.startswith("rmae_"):
        kind = name.removeprefix("rmae_")
        return f"Radio histogram of {_RADIO.get(kind, kind)}", "RMAE", _LOWER
    if name.startswith("copies_"):
        space = in_space(name.removeprefix("copies_"))
        return f"Copy test C_T, {space}", "distances to training images", "below -3 is copying"
    if name.startswith("nearer_"):
        return f"Near copies, {in_space(name.removeprefix('nearer_'))}", _NEAR, _LOWER
    return capital(name.replace("_", " ")), "", ""


def capital(text: str) -> str:
    """With a capital letter at the front."""
    return text[:1].upper() + text[1:]


def inline(name: str) -> str:
    """A score's name inside a sentence.

    >>> inline("kid_galaxy"), inline("wasserstein_gini")
    ('kernel distance, galaxy network', 'Gini coefficient')
    """
    text = title(name)
    first = text.split()[0]
    band = name.startswith("wasserstein_") and name.split("_", 1)[1] not in PROPERTIES
    keep = band or first.startswith(_PROPER)
    return text if keep else text[:1].lower() + text[1:]
