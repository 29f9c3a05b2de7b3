"""The memory of a run's child, from readings of the lane."""

from __future__ import annotations

from protocol.events import Memory

Reading = tuple[int, int]
"""The resident set of a child and the largest one so far, in bytes; zeros if the child is gone."""


class Footprint:
    """The memory of a run."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._base_bytes: int | None = None
        """The resident set at the start of the first job."""
        self._resident_bytes = 0

    @property
    def has_base(self) -> bool:
        """Whether the memory at the start of the first job is known."""
        return bool(self._base_bytes)

    def take(self, reading: Reading) -> None:
        """Take a reading."""
        resident, peak = reading
        self.raise_peak(peak)
        self._resident_bytes = (
            resident or self.peak_bytes
        )  # for a child that is gone, the peak counts

    def raise_peak(self, peak_bytes: int) -> None:
        """Take a peak that was measured in another way."""
        self.peak_bytes = max(self.peak_bytes, peak_bytes)

    def set_base(self) -> None:
        """Take the last reading as the memory before the first job."""
        if not self._base_bytes:
            self._base_bytes = self._resident_bytes

    def of_job(self) -> Memory:
        """Return the memory at the end of a job, by the last reading."""
        resident = self._resident_bytes
        return Memory(
            job=max(0, resident - (self._base_bytes or resident)),
            system=resident,
            peak=self.peak_bytes,
        )
