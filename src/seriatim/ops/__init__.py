"""`seriatim.ops`: array functions under Keras's names, for custom layers, losses and metrics.

Floor 6. A page a family: rows of a table where JAX or a room below has the function, a few lines where it has not.
Only arrays go in (no `KerasTensor`): nothing records a graph.
"""

from . import core, image, linalg, math, nn, numpy


def _written(page):
    """The functions that a page defines itself."""
    return {
        name: f for name, f in vars(page).items() if getattr(f, "__module__", "") == page.__name__ and name[0] != "_"
    }


_FUNCTIONS = {}
for _page in (core, numpy, linalg, math, nn):
    _FUNCTIONS |= {**_page.ROWS, **_written(_page)}
globals().update(_FUNCTIONS)

__all__ = ["image", *sorted(_FUNCTIONS)]  # noqa: PLE0604 - all of them strings
