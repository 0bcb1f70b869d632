"""thin"""
from __future__ import annotations
import cv2, numpy as np
from candling.errors import ImageError
from candling.pixels.read.facts import MAX_PIXELS, ImageFacts
def inspect_bytes(data, *, max_pixels=MAX_PIXELS, where="image"):
    f = decode(data, where=where)
    return ImageFacts(f.shape[1], f.shape[0], 1 if f.ndim == 2 else 3, f.dtype.itemsize*8, "png")
def decode(data, *, page=0, max_pixels=MAX_PIXELS, where="image"):
    frame = cv2.imdecode(np.frombuffer(data, np.uint8), -1) if data else None
    if frame is None: raise ImageError(f"{where}: cannot be read")
    return frame if frame.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(frame[..., :3]), cv2.COLOR_BGR2RGB)
