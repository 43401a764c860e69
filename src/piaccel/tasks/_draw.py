"""Drawing results on a picture, legibly at any size."""

from __future__ import annotations

import colorsys
import unicodedata
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from piaccel.tensors import Array

Rgb = tuple[int, int, int]
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_HUES = (0.37, 0.08, 0.57, 0.87, 0.15, 0.0, 0.48, 0.73)
_DARK: Rgb = (24, 24, 28)
_LIGHT: Rgb = (255, 255, 255)


def colour_of(index: int) -> Rgb:
    """Return a bright colour: the first few as far apart as eyes can tell, then hues a golden angle apart."""
    hue = _HUES[index] if 0 <= index < len(_HUES) else index * 0.6180339887 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85 if index % 2 else 0.7, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)


class Canvas:
    """A copy of an RGB picture to draw on; line and letter sizes follow the picture's."""

    def __init__(self, image: NDArray[np.uint8]) -> None:
        self.image: NDArray[np.uint8] = np.ascontiguousarray(image).copy()
        self.height, self.width = self.image.shape[:2]
        side = (self.height * self.width) ** 0.5
        self.line = max(1, round(side / 350))
        self._text_scale = max(0.42, side / 1200)
        self._text_line = max(1, round(self._text_scale * 1.7))
        self._pad = max(2, round(self._text_scale * 7))

    def boxes(self, xyxy: Array, colour_indices: Sequence[int], texts: Sequence[str]) -> None:
        """Draw boxes, best first, each with a tag where one has room: a tag hides no other tag and no small box."""
        corners = np.rint(xyxy).astype(int)
        colours = [colour_of(index) for index in colour_indices]
        self._outlines(corners, colours)
        tags = np.empty((0, 4), int)
        for i, (left, top, _, bottom) in enumerate(corners.tolist()):
            width, height = self._text_size(texts[i])
            others = np.delete(corners, i, axis=0)
            left = max(0, min(left - self.line // 2, self.width - width))
            for y in (top - height, bottom, top):
                tag = np.array((left, y, left + width, y + height))
                if 0 <= y <= self.height - height and not _hides(tag, tags, 0) and not _hides(tag, others, 0.2):
                    self._tag(left, y, texts[i], colours[i])
                    tags = np.vstack((tags, tag))
                    break

    def tiles(self, xyxy: Array, colour_indices: Sequence[int], texts: Sequence[str]) -> None:
        """Draw the parts of a grid, each with its tag inside, in its upper left corner."""
        corners = np.rint(xyxy).astype(int)
        colours = [colour_of(index) for index in colour_indices]
        self._outlines(corners, colours)
        for (left, top, _, _), colour, text in zip(corners.tolist(), colours, texts, strict=True):
            self._tag(left, top, text, colour)

    def bars(self, rows: Sequence[tuple[str, float]]) -> None:
        """Draw a panel in the corner: a label and a bar as long as its score for each row."""
        texts = [f"{score:.0%} {label}" for label, score in rows]
        sizes = [self._text_size(text) for text in texts]
        width, height = max(w for w, _ in sizes) + 2 * self._pad, max(h for _, h in sizes)
        width = min(width, self.width)
        panel = self.image[: height * len(rows) + self._pad, :width]
        panel[:] = panel // 4
        for i, ((_, score), text) in enumerate(zip(rows, texts, strict=True)):
            y = self._pad // 2 + i * height
            bar = round((width - 2 * self._pad) * min(max(score, 0.0), 1.0))
            base = y + height - max(2, self._pad // 2)
            cv2.rectangle(self.image, (self._pad, base), (self._pad + bar, base + self.line), colour_of(0), cv2.FILLED)
            self._text(self._pad, y, text, _LIGHT)

    def overlay(self, class_id: Array, background: int) -> None:
        """Tint each class's pixels and draw its outline; ``class_id`` has the picture's size."""
        table = np.array([colour_of(i) for i in range(int(class_id.max()) + 1)], np.uint8)
        shown = class_id != background
        tinted = cv2.addWeighted(self.image, 0.5, table[class_id], 0.5, 0)
        self.image[shown] = tinted[shown]
        for i in np.unique(class_id[shown]):
            outlines, _ = cv2.findContours((class_id == i).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(self.image, outlines, -1, colour_of(int(i)), self.line, cv2.LINE_AA)

    def legend(self, rows: Sequence[tuple[int, str]]) -> None:
        """Draw a tag in its class's colour for each row, down from the top left corner."""
        y = 0
        for colour_index, text in rows:
            self._tag(0, y, text, colour_of(colour_index))
            y += self._text_size(text)[1]

    def pose(self, xy: Array, seen: Array, skeleton: Sequence[tuple[int, int]], body: int) -> None:
        """Draw the joints that are seen and the bones whose both ends are; one body has one colour."""
        points = [(round(float(x)), round(float(y))) for x, y in xy]
        colour, radius = colour_of(body), self.line * 2
        for a, b in skeleton:
            if seen[a] and seen[b]:
                cv2.line(self.image, points[a], points[b], _DARK, self.line * 2 + 2, cv2.LINE_AA)
                cv2.line(self.image, points[a], points[b], colour, self.line * 2, cv2.LINE_AA)
        for point, is_seen in zip(points, seen, strict=True):
            if is_seen:
                cv2.circle(self.image, point, radius + max(1, self.line // 2), _DARK, cv2.FILLED, cv2.LINE_AA)
                cv2.circle(self.image, point, radius, _LIGHT, cv2.FILLED, cv2.LINE_AA)

    def _outlines(self, corners: Array, colours: Sequence[Rgb]) -> None:
        for (left, top, right, bottom), colour in zip(corners.tolist(), colours, strict=True):
            cv2.rectangle(self.image, (left, top), (right, bottom), colour, self.line, cv2.LINE_AA)

    def _tag(self, left: int, top: int, text: str, colour: Rgb) -> None:
        width, height = self._text_size(text)
        left = max(0, min(left, self.width - width))
        top = max(0, min(top, self.height - height))
        cv2.rectangle(self.image, (left, top), (left + width, top + height), colour, cv2.FILLED)
        bright = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 140
        self._text(left + self._pad, top, text, _DARK if bright else _LIGHT)

    def _text_size(self, text: str) -> tuple[int, int]:
        """(width, height) of a line of text with its margin."""
        (width, height), below = cv2.getTextSize(_ascii(text), _FONT, self._text_scale, self._text_line)
        return width + 2 * self._pad, height + below + self._pad

    def _text(self, left: int, top: int, text: str, colour: Rgb) -> None:
        (_, height), _ = cv2.getTextSize(_ascii(text), _FONT, self._text_scale, self._text_line)
        at = (left, top + height + self._pad // 2)
        cv2.putText(self.image, _ascii(text), at, _FONT, self._text_scale, colour, self._text_line, cv2.LINE_AA)


def _hides(tag: Array, others: Array, part: float) -> bool:
    """Say whether ``tag`` covers more than ``part`` of any of the boxes ``others`` (n, 4)."""
    shared = np.clip(np.minimum(tag[2:], others[:, 2:]) - np.maximum(tag[:2], others[:, :2]), 0, None).prod(axis=1)
    return bool(np.any(shared > part * (others[:, 2:] - others[:, :2]).prod(axis=1)))


def _ascii(text: str) -> str:
    """OpenCV's built-in font has ASCII only: keep letters without their accents."""
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() or "?"
