"""Rules about single images against their set: readable, of one size and kind, well exposed; opens no file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from candling.data.check.findings import Finding, Severity, counted

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
            f"{counted(odd, 'image is', 'images are')} not of the usual size, {width} x {height} px",
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
            f"{counted(odd, 'image has', 'images have')} another {what} than the usual one ({usual})",
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
    if blank:
        yield Finding(
            "blank",
            Severity.ERROR,
            f"{counted(blank, 'image shows', 'images show')} nothing: all pixels have nearly one grey level",
            "remove the files, and look at camera, lamp and trigger",
            tuple(look.sample.path for look in blank),
        )
    seen = {id(look) for look in blank}
    known = [(look, look.exposure) for look in looks if look.exposure is not None and id(look) not in seen]
    if len(known) < 3:
        return
    usual = float(np.median([exposure.clipped for _, exposure in known]))
    often = float(np.quantile([exposure.clipped for _, exposure in known], 0.9))
    over = [(look, e) for look, e in known if e.clipped > usual + 0.2 and e.clipped > often + 0.1]
    if over:
        yield Finding(
            "over_exposed",
            Severity.WARNING,
            f"{counted(over, 'image is', 'images are')} over-exposed: far more pixels are at full light than elsewhere",
            "take the pictures again with less light or a shorter exposure",
            tuple(look.sample.path for look, _ in over),
            tuple(f"{exposure.clipped:.0%} at full light" for _, exposure in over),
        )
    bright = np.array([exposure.bright for _, exposure in known])
    # the usual spread counts too: pictures of a fluorescent stain rightly differ a hundredfold in brightness
    spread = 1.4826 * float(np.median(np.abs(bright - np.median(bright))))
    dim = float(min(0.4 * np.median(bright), np.median(bright) - 6.0 * spread))
    under = [(look, exposure) for look, exposure in known if exposure.bright < dim]
    if under:
        yield Finding(
            "under_exposed",
            Severity.WARNING,
            f"{counted(under, 'image is', 'images are')} under-exposed: even the bright parts are darker than usual",
            "take the pictures again with the light of the others",
            tuple(look.sample.path for look, _ in under),
            tuple(f"up to level {e.bright:.0f}, usually {np.median(bright):.0f}" for _, e in under),
        )
