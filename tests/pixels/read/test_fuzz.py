"""Damaged images by the hundred: each is read or refused with one ImageError, and none takes long."""

from __future__ import annotations

import random
import struct
import time
import zlib

import numpy as np
import pytest

from candling.errors import ImageError
from candling.pixels.read import decode, inspect_bytes

ROUNDS = 600


def with_right_checksums(data: bytes) -> bytes:
    """Repair the CRCs of a damaged PNG, so that the damage reaches further in."""
    repaired, position = bytearray(data[:8]), 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            break
        repaired += data[position:end] + struct.pack(">I", zlib.crc32(data[position + 4 : end]))
        position = end + 4
    return bytes(repaired + data[position:])


def damage(data: bytes, rng: random.Random) -> bytes:
    """Change, delete, insert or cut, mostly near the header, where lies are told."""
    damaged = bytearray(data)
    kind = rng.choice(("byte", "bit", "number", "delete", "insert", "cut"))
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(max(1, len(damaged) if rng.random() < 0.5 else min(len(damaged), 300)))
        if kind == "byte":
            damaged[place : place + 1] = rng.randbytes(1)
        elif kind == "bit":
            damaged[place : place + 1] = bytes([(*damaged[place : place + 1], 0)[0] ^ 1 << rng.randrange(8)])
        elif kind == "number":
            width = rng.choice((2, 4))
            number = rng.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, rng.randrange(2**32))) % 2 ** (8 * width)
            damaged[place : place + width] = number.to_bytes(width, rng.choice(("little", "big")))
        elif kind == "delete":
            del damaged[place : place + rng.randrange(1, 100)]
        elif kind == "insert":
            damaged[place:place] = rng.randbytes(rng.randrange(1, 40))
        else:
            del damaged[place:]
    return bytes(damaged)


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "tiff"])
def test_damage_gives_a_frame_or_one_image_error(kind, pngs, jpegs, bmps, tiffs):
    """No other exception, no frame of another kind, and not two slow answers in hundreds of damaged files."""
    pairs = {"png": pngs, "bmp": bmps, "tiff": tiffs}.get(kind)
    sound = [data for data, _ in pairs.values()] if pairs else list(jpegs.values())
    rng = random.Random(20261120)
    seconds, sentences = [], []
    for _ in range(ROUNDS):
        data = damage(rng.choice(sound), rng)
        if kind == "png" and rng.random() < 0.5:
            data = with_right_checksums(data)
        began = time.perf_counter()
        try:
            frame = decode(data)
        except ImageError as error:
            sentences.append(str(error))
        else:
            assert frame.dtype in (np.uint8, np.uint16)
            facts = inspect_bytes(data)
            assert frame.shape[:2] == (facts.height, facts.width)
        seconds.append(time.perf_counter() - began)
    assert sorted(seconds)[-2] < 0.2  # the slowest may have met another process
    assert len(sentences) > ROUNDS // 4
    assert [said for said in sentences if not said.startswith("image: ") or "\n" in said] == []
