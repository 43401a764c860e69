"""Pictures of events, encoded."""

from __future__ import annotations

from piaccel.errors import InputError
from piaccel.sinks import Event


def encoded(event: Event, suffix: str, quality: int, annotated: bool) -> bytes | None:
    """Return the event's picture as "jpg" or "png", with the result drawn on it or as it is; None without one.

    Raises InputError for a picture that cannot be encoded.
    """
    import cv2

    image = event.drawn() if annotated else event.image
    if image is None:
        return None
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix == "jpg" else []
    done, blob = cv2.imencode(f".{suffix}", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise InputError(f"a picture of {image.shape} cannot be encoded as {suffix}")
    return blob.tobytes()
