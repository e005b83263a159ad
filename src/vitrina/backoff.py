"""Pauses between the tries of an operation: the one way to back off."""

import asyncio
import random
from dataclasses import dataclass
from typing import Final

_MOST_GROWTHS: Final = 64
"""Past so many failures a pause has long been the longest one; a higher power would overflow a float."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential pauses with jitter (AWS Builders' Library, "Timeouts, retries, and backoff with jitter").

    The pause after the first failure is `first` seconds, each further one `factor` times as long, up to `longest`.
    `jitter` is the share of a pause that is drawn at random: with 1 a pause lies between nothing and the whole, with
    0.5 between half and the whole, with 0 it is the whole.
    """

    first: float
    longest: float
    factor: float = 2.0
    jitter: float = 1.0

    def pause(self, failures: int) -> float:
        """Return the seconds to wait after `failures` failures in a row, 1 or more."""
        whole = min(self.first * self.factor ** min(failures - 1, _MOST_GROWTHS), self.longest)
        return whole * random.uniform(1 - self.jitter, 1)  # noqa: S311 - not a secret

    async def sleep(self, failures: int) -> None:
        """Wait as `pause` says."""
        await asyncio.sleep(self.pause(failures))
