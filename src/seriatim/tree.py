"""`seriatim.tree`: nested lists, tuples and dicts, and what is done to their leaves. Keras's names.

Floor 6. Dicts are visited in the order of their sorted keys, OrderedDicts in their own; None is a leaf.
"""

from collections import OrderedDict, defaultdict, deque

from .base.report import UsageError


class MAP_TO_NONE:
    """What the function of `traverse` returns to put None in the place of a part."""


def is_nested(structure):
    """Whether it is a list, a tuple, a dict or a deque.

    >>> is_nested([1]), is_nested("ab")
    (True, False)
    """
    return isinstance(structure, (list, tuple, dict, deque))


def parts(structure):
    """[(key or index, part), …] of one level."""
    if isinstance(structure, OrderedDict):
        return list(structure.items())
    if isinstance(structure, dict):
        return sorted(structure.items())
    return list(enumerate(structure))


def like(structure, values):
    """The same kind of container with other parts, given in the order of `parts`."""
    if isinstance(structure, dict):
        new = dict(zip((key for key, _ in parts(structure)), values, strict=True))
        ordered = {key: new[key] for key in structure}
        if isinstance(structure, defaultdict):
            return type(structure)(structure.default_factory, ordered)
        return type(structure)(ordered)
    if hasattr(structure, "_fields"):
        return type(structure)(*values)
    return type(structure)(values, structure.maxlen) if isinstance(structure, deque) else type(structure)(values)


def flatten_with_path(structure):
    """[(path, leaf), …], where a path is a tuple of keys and indices.

    >>> flatten_with_path({"a": [3, 4]})
    [(('a', 0), 3), (('a', 1), 4)]
    """
    if not is_nested(structure):
        return [((), structure)]
    return [((key, *path), leaf) for key, part in parts(structure) for path, leaf in flatten_with_path(part)]


def flatten(structure):
    """The leaves as a list.

    >>> flatten({"b": [2, 3], "a": 1})
    [1, 2, 3]
    """
    return [leaf for _, leaf in flatten_with_path(structure)]


def pack_sequence_as(structure, flat_sequence):
    """The structure with these leaves instead of its own.

    >>> pack_sequence_as([0, (0, 0)], [1, 2, 3])
    [1, (2, 3)]
    """
    leaves = list(flat_sequence)  # a TypeError if it is not iterable
    count = len(flatten(structure))
    if len(leaves) != count:
        raise UsageError(f"the structure holds {count} leaves", saw=f"{len(leaves)}")
    given = iter(leaves)

    def fill(part):
        if not is_nested(part):
            return next(given)
        return like(part, [fill(inner) for _, inner in parts(part)])

    return fill(structure)


def map_structure(func, *structures, none_is_leaf=True):
    """The same structure, with func(leaf, …) for the leaves that stand at the same place.

    >>> map_structure(lambda a, b: a + b, [1, (2,)], [10, (20,)])
    [11, (22,)]
    """
    check_function(func)
    if not structures:
        raise UsageError("there must be at least one structure", saw="none")
    first, *others = structures
    if first is None and not none_is_leaf:
        if any(other is not None for other in others):
            raise UsageError("the structures don't have the same nested structure", saw=f"None beside {others!r}")
        return None
    if not is_nested(first):
        nested = next((other for other in others if is_nested(other)), None)
        if nested is not None:
            raise UsageError(
                "the structures don't have the same nested structure", saw=f"{first!r} beside {type(nested).__name__}"
            )
        return func(*structures)
    for other in others:
        check_level(first, other)
    levels = [[part for _, part in parts(structure)] for structure in structures]
    return like(first, [map_structure(func, *inner, none_is_leaf=none_is_leaf) for inner in zip(*levels, strict=True)])


def map_structure_up_to(shallow_structure, func, *structures):
    """func over the parts of `structures` that stand where `shallow_structure` has leaves.

    >>> map_structure_up_to([0, 0], len, [[1, 2], [3]])
    [2, 1]
    """
    check_function(func)
    if not structures:
        raise UsageError("there must be at least one structure", saw="none")
    if not is_nested(shallow_structure):
        return func(*structures)
    for structure in structures:
        check_level(shallow_structure, structure)
    levels = [[part for _, part in parts(structure)] for structure in (shallow_structure, *structures)]
    return like(
        shallow_structure, [map_structure_up_to(inner[0], func, *inner[1:]) for inner in zip(*levels, strict=True)]
    )


def check_function(func):
    if not callable(func):
        raise TypeError(f"func must be callable, not {func!r}")


def check_level(a, b):
    """A ValueError unless two containers are of one kind and as long (dicts: have the same keys)."""
    kinds = [dict if isinstance(item, dict) else type(item) for item in (a, b)]
    if kinds[0] is not kinds[1]:
        word = "namedtuple " if hasattr(a, "_fields") else ""
        raise UsageError(
            "the two structures don't have the same nested structure",
            saw=repr(b), want=f"Expected {word}{kinds[0].__module__}.{kinds[0].__name__}",
        )  # fmt: skip
    if len(a) != len(b):
        raise UsageError("the two structures differ in the number of parts (arity mismatch)", saw=f"{len(a)}, {len(b)}")
    if isinstance(a, dict) and a.keys() != b.keys():
        raise UsageError("the two dicts differ in a key", saw=f"{sorted(a)}, {sorted(b)}")


def assert_same_structure(a, b, check_types=None):
    """A ValueError unless both are nested in the same way: the same containers, lengths and keys."""
    map_structure(lambda left, right: None, a, b)


def assert_same_paths(a, b):
    """A ValueError unless the leaves stand at the same paths; lists, tuples and deques count as equal."""
    left, right = ({path for path, _ in flatten_with_path(structure)} for structure in (a, b))
    if left != right:
        raise UsageError("`a` and `b` don't have the same paths", saw=f"{left - right or '{}'}, {right - left or '{}'}")


def traverse(func, structure, top_down=True):
    """Visit every part, containers too; what `func` returns for a part, unless None, takes its place.

    Top down, a container that was replaced is not entered; bottom up, its parts come first.
    """
    check_function(func)
    found = func(structure) if top_down else None
    if found is None:
        if is_nested(structure):
            structure = like(structure, [traverse(func, part, top_down) for _, part in parts(structure)])
        found = structure if top_down else func(structure)
        found = structure if found is None else found
    return None if found is MAP_TO_NONE else found


def lists_to_tuples(structure):
    """The structure with tuples in the place of its lists."""
    return traverse(lambda part: tuple(part) if isinstance(part, list) else None, structure, top_down=False)


def map_shape_structure(func, structure):
    """func over the shapes in a structure: tuples or lists of whole numbers and None."""
    if isinstance(structure, (list, tuple)) and all(size is None or isinstance(size, int) for size in structure):
        return func(structure)
    if not is_nested(structure):
        return func(structure)
    return like(structure, [map_shape_structure(func, part) for _, part in parts(structure)])


__all__ = [
    "MAP_TO_NONE", "assert_same_paths", "assert_same_structure", "flatten", "flatten_with_path", "is_nested",
    "lists_to_tuples", "map_shape_structure", "map_structure", "map_structure_up_to", "pack_sequence_as", "traverse",
]  # fmt: skip
