"""The little of libcamera's Python module that callers of picamera2 need themselves."""

from __future__ import annotations


class Transform:
    def __init__(self, hflip: bool = False, vflip: bool = False, transpose: bool = False) -> None:
        self.hflip, self.vflip, self.transpose = bool(hflip), bool(vflip), bool(transpose)
