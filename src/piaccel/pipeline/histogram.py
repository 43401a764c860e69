"""A distribution of durations in fixed memory, for runs of months."""

from __future__ import annotations

import math

_PER_OCTAVE = 64
_OCTAVES = 44
"""2**44 ns are 4.9 hours; longer durations count as the last bucket's."""


class Histogram:
    """Counts durations in ns in logarithmic buckets, 64 to an octave: a percentile is exact to 1.1 %.

    The layout is HdrHistogram's idea: the octave is the number's highest bit, the next six bits choose the bucket.
    Minimum, maximum, mean and standard deviation are exact. Not thread-safe.
    """

    __slots__ = ("_counts", "_sum", "_sum_squares", "count", "max_ns", "min_ns")

    def __init__(self) -> None:
        self._counts = [0] * (_PER_OCTAVE * _OCTAVES)
        self.count = 0
        self.min_ns: int | None = None
        self.max_ns: int | None = None
        self._sum = 0
        self._sum_squares = 0

    def add(self, duration_ns: int) -> None:
        """Count one; a negative duration counts as 0."""
        value = max(duration_ns, 0)
        self._counts[_bucket(value)] += 1
        self.count += 1
        self._sum += value
        self._sum_squares += value * value
        if self.max_ns is None or value > self.max_ns:
            self.max_ns = value
        if self.min_ns is None or value < self.min_ns:
            self.min_ns = value

    def percentile_ns(self, percent: float) -> int | None:
        """The nearest-rank percentile, None while nothing was counted."""
        if not self.count or self.max_ns is None or self.min_ns is None:
            return None
        rank, seen = max(1, math.ceil(percent / 100 * self.count)), 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return min(max(_middle(bucket), self.min_ns), self.max_ns)
        return self.max_ns

    @property
    def mean_ns(self) -> float | None:
        return self._sum / self.count if self.count else None

    @property
    def sd_ns(self) -> float | None:
        """Standard deviation of what was counted."""
        if not self.count:
            return None
        mean = self._sum / self.count
        return math.sqrt(max(0.0, self._sum_squares / self.count - mean * mean))

    @property
    def sum_ns(self) -> int:
        return self._sum

    def below(self, edges_ns: list[int]) -> list[int]:
        """How many durations were at most each of the rising ``edges_ns``, as Prometheus counts (to 1.6 %)."""
        sums, seen, bucket = [], 0, 0
        for edge in edges_ns:
            last = _bucket(edge)
            while bucket <= last:
                seen += self._counts[bucket]
                bucket += 1
            sums.append(seen)
        return sums

    def buckets(self) -> list[tuple[int, int]]:
        """(middle in ns, count) of every bucket that is not empty: the raw data of a report."""
        return [(_middle(bucket), count) for bucket, count in enumerate(self._counts) if count]


def _bucket(value: int) -> int:
    if value < _PER_OCTAVE:
        return value
    octave = value.bit_length() - 7
    return min((octave + 1) * _PER_OCTAVE + (value >> octave) - _PER_OCTAVE, _PER_OCTAVE * _OCTAVES - 1)


def _middle(bucket: int) -> int:
    if bucket < _PER_OCTAVE:
        return bucket
    octave, place = divmod(bucket, _PER_OCTAVE)
    return ((_PER_OCTAVE + place) << (octave - 1)) + (1 << (octave - 1)) // 2
