"""`seriatim.datasets`: real data that is at hand without a network. Floor 6."""

from . import digits

__all__ = ["digits"]
