"""What a score card says, in words: an answer to each question, and what it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

from galgen.report import asked, versus
from galgen.report.copying import answer_new, new_details
from galgen.report.names import QUESTIONS, inline, of_features, order, question, split
from galgen.report.reading import (
    CLEAR,
    ENOUGH,
    FEW,
    Scores,
    answered,
    listed,
    numbers,
    off,
    percent,
    reason_of,
    sigmas,
    z_text,
)

#: A score so far above its floor is no chance, however many scores there are.
_SURE = 5.0


class Answer(TypedDict):
    """An answer: yes, no or unclear, and the sentence that it rests on."""

    answer: str
    sentence: str


def questions(result: Mapping[str, Any]) -> dict[str, Answer]:
    """The answer to each of `QUESTIONS`, of the content of evaluation.json.

    ``no`` where a score stands out (z above 5) or several do (above 3), ``yes`` where none does
    and there are 100 galaxies a side or more, ``unclear`` in between.
    """
    found = {}
    for name, answer in (("real", _real), ("physical", _physical), ("new", answer_new)):
        metrics = {
            key: result["metrics"][key] for key in order(result["metrics"]) if question(key) == name
        }
        word, sentence = answer(metrics)
        found[name] = Answer(answer=word, sentence=sentence)
    return found


def verdict(result: Mapping[str, Any]) -> list[str]:
    """Sentences: who of two generators is nearer, then each question with its details.

    Of a second generator the answers alone.
    """
    found = versus.sentences(result)
    said = details(result)
    for name, answer in questions(result).items():
        found.append(_answered(name, answer))
        found += said[name]
    found += asked.sentences(result)
    if "against" in result:
        second = versus.names(result)[1]
        answers = questions(result["against"])
        found += [f"{second}: {_answered(name, answer)}" for name, answer in answers.items()]
    return found


def _answered(name: str, answer: Answer) -> str:
    return f"{QUESTIONS[name]} {WORDS[answer['answer']]}. {answer['sentence']}"


#: Answers as they are printed.
WORDS = {"yes": "Yes", "no": "No", "unclear": "Cannot tell"}


def details(result: Mapping[str, Any]) -> dict[str, list[str]]:
    """Question to the sentences that its answer is made of."""
    metrics = result["metrics"]
    return {
        "real": _real_details(metrics),
        "physical": [*_physical_details(metrics), *_catalogues(result)],
        "new": new_details(metrics),
    }


def _real(metrics: Scores) -> tuple[str, str]:
    if not answered(metrics):
        return "unclear", f"Whether it is real was not measured{reason_of(metrics)}."
    return _judged(
        metrics,
        _primary(metrics),
        "Generated galaxies can be told from real ones",
        "Generated galaxies differ no more from real ones than a second real sample does",
    )


def _physical(metrics: Scores) -> tuple[str, str]:
    if not answered(metrics):
        return "unclear", f"Whether it is physical was not measured{reason_of(metrics)}."
    means = [name for name in ("wasserstein", "colour_magnitude", "rmae") if name in metrics]
    headline = next((name for name in means if metrics[name]["value"] is not None), None)
    return _judged(
        metrics,
        headline,
        "What is measured on generated galaxies is not what is measured on real ones",
        "What is measured on generated galaxies is as on a second real sample",
    )


def _judged(metrics: Scores, headline: str | None, worse: str, equal: str) -> tuple[str, str]:
    """Answer and sentence from all scores of a question; `headline` names the main one."""
    known = answered(metrics)
    clear = sorted((name for name in known if off(name, known[name])), key=_distance_of(known))
    lead = headline if headline is not None and headline in known else next(iter(known))
    n = known[lead]["n"]
    if clear and lead not in clear:
        lead = clear[0]
    told = numbers(lead, known[lead])
    stand = "stands" if len(clear) == 1 else "stand"
    count = f"{len(clear)} of {len(known)} scores {stand} out"
    if clear and clear[0] != lead:
        count += f", most of all {numbers(clear[0], known[clear[0]])}"
    if n < FEW:
        return "unclear", f"{n} galaxies a side are too few to tell: {told}."
    if len(clear) > 1 or (clear and _distance_of(known)(clear[0]) < -_SURE):
        return "no", f"{worse}: {told}; {count}."
    if clear:
        return "unclear", f"One of {len(known)} scores stands out, which may be chance: " \
                          f"{numbers(clear[0], known[clear[0]])}."  # fmt: skip
    if n < ENOUGH:
        return "unclear", (
            f"No difference is seen, but {n} galaxies a side show only a large one: {told}."
        )
    return "yes", f"{equal}: {told}; none of {len(known)} scores stands out."


def _distance_of(known: Scores) -> Any:
    """Sorts scores by how far they stand out, the farthest first."""

    def key(name: str) -> float:
        return -abs(sigmas(known[name]))

    return key


def _primary(metrics: Scores) -> str | None:
    """The Fréchet distance that leads: of the first extractor that has one."""
    for name in order(metrics):
        if split(name)[0] == "frechet" and metrics[name]["value"] is not None:
            return name
    return None


_FRACTIONS = {
    "precision": (
        "lie among real galaxies, where {floor} of a second real sample do",
        "Some generated galaxies are like no real one",
        "Generated galaxies are like real ones",
    ),
    "recall": (
        "of real galaxies lie among generated ones, where {floor} lie among a second real sample",
        "Generated galaxies vary less than real ones",
        "Generated galaxies vary as real ones do",
    ),
    "coverage": (
        "of real galaxies have a generated one near, where {floor} have one of a second real "
        "sample",
        "Some real galaxies have no generated one like them",
        "Real galaxies have generated ones like them",
    ),
    "repeats": (
        "of the generated galaxies have a twin among themselves, where {floor} of real ones do",
        "Generated galaxies repeat each other",
        "Generated galaxies do not repeat each other",
    ),
}


def _real_details(metrics: Scores) -> list[str]:
    primary = _primary(metrics)
    leading = "" if primary is None else split(primary)[1]
    found = []
    for name in order(metrics):
        kind, extractor = split(name)
        score = metrics[name]
        if kind == "frechet" and name != primary:
            found.append(_frechet(extractor, score))
        elif kind in _FRACTIONS and extractor == (leading or extractor):
            found.append(_fraction(kind, score))
    return found


def _frechet(extractor: str, score: Mapping[str, Any]) -> str:
    what = of_features(extractor)
    if score["value"] is None:
        return f"Fréchet distance ({what}): not computed, {score['reason']}."
    clear = off("", score)
    told = "told apart" if clear else "not told apart"
    if clear and sigmas(score) < _SURE:
        told = "barely told apart"
    if not clear and score["n"] < FEW:
        told = f"{score['n']} galaxies a side are too few to tell"
    return (
        f"By {what}: {told}, Fréchet distance {score['value']:.3g}, floor {score['floor']:.3g}"
        f"{z_text(score)}."
    )


def _fraction(kind: str, score: Mapping[str, Any]) -> str:
    what, worse, equal = _FRACTIONS[kind]
    name = kind.capitalize()
    if score["value"] is None:
        return f"{name} was not computed: {score['reason']}."
    told = f"{percent(score['value'])} {what.format(floor=percent(score['floor']))}{z_text(score)}"
    if off("", score):
        return f"{worse}: {told}."
    if score["n"] < FEW:
        return f"Too few galaxies to judge {name.lower()}: {told}."
    return f"{equal}: {told}."


def _physical_details(metrics: Scores) -> list[str]:
    found = []
    for name, sentence in (("detected", _detected), ("colour_magnitude", _colour_magnitude)):
        if name in metrics:
            found.append(sentence(metrics[name]))
    parts = [
        name
        for name in order(metrics)
        if question(name) == "physical" and name not in {"detected", "colour_magnitude"}
    ]
    known = {name: metrics[name] for name in parts if metrics[name]["value"] is not None}
    clear = sorted((name for name in known if off(name, known[name])), key=_distance_of(known))
    equal = [name for name in known if name not in clear]
    if clear and all(known[name]["n"] >= FEW for name in clear):
        found.append(f"Off: {listed(inline(name) + z_text(known[name]) for name in clear)}.")
    if equal and all(known[name]["n"] >= FEW for name in equal):
        found.append(f"As real ones: {listed(inline(name) for name in equal)}.")
    return found


def _catalogues(result: Mapping[str, Any]) -> list[str]:
    """Measured magnitudes against those of a table, one sentence a set."""
    sentences = []
    for which, of in result.get("details", {}).get("catalogue_magnitudes", {}).items():
        known = {name: entry for name, entry in of.items() if entry["bias"] is not None}
        parts = [f"{name} {e['bias']:+.3f} ± {e['scatter']:.3f}" for name, e in known.items()]
        if parts:
            sentences.append(
                f"Of {which} galaxies, measured minus catalogue magnitudes (median ± scatter): "
                f"{listed(parts)}."
            )
    return sentences


def _detected(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return f"Detection was not judged: {score['reason']}."
    return (
        f"A galaxy is found in {percent(score['value'])} of the generated images and in "
        f"{percent(score['floor'])} of real ones{z_text(score)}."
    )


def _colour_magnitude(score: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return f"The colour-magnitude check does not apply: {score['reason']}."
    told = (
        f"{percent(score['value'])} lie in the colour-magnitude box, where "
        f"{percent(score['floor'])} of real galaxies that did not define it do{z_text(score)}"
    )
    if score["z"] is not None and score["z"] < -CLEAR:
        return f"Magnitudes and colours vary less than real ones do: {told}."
    if off("", score):
        return f"Magnitudes and colours are off: {told}."
    if score["n"] < FEW:
        return f"Too few real galaxies ({score['n']} a side) to judge magnitudes: {told}."
    return f"Magnitudes and colours look right: {told}."
