"""What went wrong, said so that it can be mended: what was seen, what was wanted, the fix.

Floor 0. Each exception is also the built-in that code written for Keras catches.
"""

import sys
from pathlib import Path

PACKAGE = str(Path(__file__).resolve().parent.parent)


class Report:
    """The shared body of our exceptions: a title and, where known, at / saw / want / fix."""

    def __init__(self, title, *, at=None, saw=None, want=None, fix=None, code=None):
        self.title, self.at, self.saw, self.want, self.fix = title, at, saw, want, fix
        self.code = code
        super().__init__(self.render())

    def render(self):
        lines = [self.title]
        if self.at:
            lines.append(f"  --> {self.at}")
        lines += [f"   |  {word:<6} {text}" for word, text in (("saw", self.saw), ("want", self.want)) if text]
        if self.fix:
            lines.append(f"   = fix    {self.fix}")
        return "\n".join(lines)

    def __str__(self):
        return self.render()


class UsageError(Report, ValueError):
    """A call that cannot work: an argument, a shape, an order of calls."""


class BadArgument(UsageError, TypeError):
    """An argument that is not known, or cannot be what was given. Keras raises the one error or the other."""


class DataError(Report, ValueError):
    """Data that does not fit: rank, dtype, length, values."""


class NotData(DataError, TypeError):
    """Something else than an array."""


class FileError(Report, OSError, ValueError):
    """A file that cannot be read, or must not be. Keras raises a ValueError for most of these."""


class Missing(Report, ImportError):
    """An optional package is not installed; the message names the extra."""


SeriatimErrors = (UsageError, DataError, FileError, Missing)


def birthplace():
    """`file.py:12` of the nearest frame outside the package, or None."""
    frame = sys._getframe(1)
    while frame is not None:
        filename = frame.f_code.co_filename
        if not filename.startswith((PACKAGE, "<frozen", "<string>")):
            return f"{Path(filename).name}:{frame.f_lineno}"
        frame = frame.f_back
    return None
