"""Rules about single images against their set: readable, of one size and kind, well exposed; opens no file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from candling.data.check.findings import Finding, Severity, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from candling.data.check.look import ImageLook
    from candling.pixels.read import ImageFacts

__all__ = ["find_blank", "judge_exposure", "judge_kinds", "judge_readable", "judge_sizes"]

_BLANK_LEVELS = 3.0
"""An 8-bit picture whose grey levels span no more than this shows nothing."""

_BLANK_SHARE = 0.04
"""The same for any depth, as a share of the span that is usual in the set."""


def judge_readable(looks: Sequence[ImageLook]) -> Iterator[Finding]:
    """Report every image the reader refuses, in the reader's words."""
    for look in looks:
        if look.problem:
            yield Finding(
                "unreadable",
                Severity.ERROR,
                look.problem,
                "take the picture again or remove the file; on the line it would be rejected",
                (look.sample.path,),
            )


def judge_sizes(looks: Sequence[ImageLook]) -> Iterator[Finding]:
    """Report images whose size is not the usual one, or, where no size is usual, that sizes differ."""
    known = [(look, look.facts) for look in looks if look.facts is not None]
    sizes = Counter((facts.width, facts.height) for _, facts in known)
    if len(sizes) < 2:
        return
    (width, height), count = sizes.most_common(1)[0]
    odd = [(look, facts) for look, facts in known if (facts.width, facts.height) != (width, height)]
    if 2 * count > len(known):
        yield Finding(
            "odd_size",
            Severity.WARNING,
            f"{plural(len(odd), 'image')} {'is' if len(odd) == 1 else 'are'} not of the usual size, {width} x {height} px",
            "crop them like the others; otherwise they are stretched, and regions lie elsewhere",
            tuple(look.sample.path for look, _ in odd),
            tuple(f"{facts.width} x {facts.height} px" for _, facts in odd),
        )
        return
    low, high = np.min(list(sizes), axis=0), np.max(list(sizes), axis=0)
    much = bool(np.any(high > 1.25 * low))
    yield Finding(
        "mixed_sizes",
        Severity.WARNING if much else Severity.NOTE,
        f"the {len(known)} images are of {len(sizes)} sizes, from {low[0]} x {low[1]} to {high[0]} x {high[1]} px",
        "all are resized to one size; crop them alike if the product then looks stretched",
    )


def judge_kinds(looks: Sequence[ImageLook]) -> Iterator[Finding]:
    """Report images whose bit depth or number of channels is not the usual one."""
    tests: tuple[tuple[str, str, Callable[[ImageFacts], str], str], ...] = (
        (
            "odd_depth",
            "bit depth",
            lambda facts: f"{facts.bits} bits",
            "save all images at one depth; the same grey level means another brightness at another depth",
        ),
        (
            "odd_channels",
            "number of channels",
            lambda facts: "grey" if facts.channels == 1 else "colour",
            "save all images as grey or all as colour; a grey one among colour ones looks like a discoloured product",
        ),
    )
    known = [(look, look.facts) for look in looks if look.facts is not None]
    for kind, what, describe, remedy in tests:
        found = Counter(describe(facts) for _, facts in known)
        if len(found) < 2:
            continue
        usual = found.most_common(1)[0][0]
        odd = [(look, facts) for look, facts in known if describe(facts) != usual]
        yield Finding(
            kind,
            Severity.WARNING,
            f"{plural(len(odd), 'image')} {'has' if len(odd) == 1 else 'have'} another {what} than the usual one ({usual})",
            remedy,
            tuple(look.sample.path for look, _ in odd),
            tuple(describe(facts) for _, facts in odd),
        )


def find_blank(looks: Sequence[ImageLook]) -> list[ImageLook]:
    """Give the images that show nothing: their grey levels hardly differ."""
    known = [(look, look.exposure) for look in looks if look.exposure is not None]
    spans = [exposure.bright - exposure.dark for _, exposure in known]
    usual = float(np.median(spans)) if spans else 0.0
    return [
        look
        for (look, _), span in zip(known, spans, strict=True)
        if span <= _BLANK_SHARE * usual or (look.facts is not None and look.facts.bits == 8 and span <= _BLANK_LEVELS)
    ]


def judge_exposure(looks: Sequence[ImageLook]) -> Iterator[Finding]:
    """Report blank images, and those far brighter or darker than the set; a saturated background of all is no fault."""
    blank = find_blank(looks)
    yield from _exposure_finding(
        "blank",
        Severity.ERROR,
        blank,
        "{} nothing: all pixels have nearly one grey level",
        "remove the files, and look at camera, lamp and trigger",
    )
    seen = {id(look) for look in blank}
    known = [(look, look.exposure) for look in looks if look.exposure is not None and id(look) not in seen]
    if len(known) < 3:
        return
    bright = np.array([exposure.bright for _, exposure in known])
    clipped = np.array([exposure.clipped for _, exposure in known])
    # the usual spread counts too: a set of fluorescence pictures differs a hundredfold in brightness, rightly
    spread = 1.4826 * float(np.median(np.abs(bright - np.median(bright))))
    dim = (bright < 0.4 * np.median(bright)) & (bright < np.median(bright) - 6.0 * spread)
    often = float(np.quantile(clipped, 0.9))
    glaring = (clipped > np.median(clipped) + 0.2) & (clipped > often + 0.1)
    yield from _exposure_finding(
        "over_exposed",
        Severity.WARNING,
        [look for (look, _), much in zip(known, glaring, strict=True) if much],
        "{} over-exposed: far more pixels are at full light than in the others",
        "take the pictures again with less light or a shorter exposure",
        [f"{exposure.clipped:.0%} at full light" for (_, exposure), much in zip(known, glaring, strict=True) if much],
    )
    yield from _exposure_finding(
        "under_exposed",
        Severity.WARNING,
        [look for (look, _), little in zip(known, dim, strict=True) if little],
        "{} under-exposed: the brightest parts are darker than half of what is usual",
        "take the pictures again with the light of the others",
        [f"up to level {exposure.bright:.0f}" for (_, exposure), little in zip(known, dim, strict=True) if little],
    )


def _exposure_finding(
    kind: str,
    severity: Severity,
    looks: Sequence[ImageLook],
    sentence: str,
    remedy: str,
    remarks: Sequence[str] = (),
) -> Iterator[Finding]:
    if looks:
        verb = {"blank": ("shows", "show")}.get(kind, ("is", "are"))[len(looks) > 1]
        paths = tuple(look.sample.path for look in looks)
        yield Finding(
            kind, severity, sentence.format(f"{plural(len(looks), 'image')} {verb}"), remedy, paths, tuple(remarks)
        )
