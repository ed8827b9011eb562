"""Layers of strings, categories and vocabularies, and what they are tried on: for our tests, and for `record_text.py`.

A case: class, arguments, data to adapt to (or None), whether those come in batches, and an input.
"""

TEXTS = [
    "A warm, funny film; WONDERFUL actors!", "dull dull dull... and long", "", "It's not bad: a (very) good film",
    "the the the a a", "caf\u00e9 \u00c9t\u00e9 na\u00efve \u4f60\u597d film", "tab\tand\nnew line",
    "a_b c-d 1,000 100%", "film",
]  # fmt: skip
NEW = ["A dull FILM, and more!", "unseen words", "", "caf\u00e9 na\u00efve; the new 100"]
ROWS = [["a", "c", "d", "d"], ["d", "z", "b", "z"]]
NUMBERS = [[12, 1138, 42, 42], [42, 7, 36, 7]]
LONG = ["x" * n + "y" * (n // 2) for n in (0, 1, 3, 4, 7, 8, 11, 15, 16, 17, 22, 31, 33, 40, 64, 65, 90, 128, 129, 200)]
REALS = [[-1.5, 1.0, 3.4, 0.5], [0.0, 3.0, 1.3, 0.0], [2.5, -7.0, 0.1, 0.3]]
MANY = [[(37 * i * i % 1009) / 7 - 50] for i in range(700)]

TV, SL, IL = "TextVectorization", "StringLookup", "IntegerLookup"
CASES = [
    (TV, {}, TEXTS, False, NEW),
    (TV, {"max_tokens": 6, "output_sequence_length": 3}, TEXTS, False, [[text] for text in NEW]),
    (TV, {"output_sequence_length": 9, "standardize": "lower"}, TEXTS, True, NEW),
    (TV, {"standardize": "strip_punctuation", "ngrams": 2}, TEXTS, False, NEW),
    (TV, {"standardize": None, "ngrams": [1, 3]}, TEXTS, True, NEW),
    (TV, {"split": "character", "max_tokens": 20}, TEXTS, False, NEW),
    (TV, {"split": None, "standardize": "lower"}, ROWS, False, ROWS),
    (TV, {"split": None, "standardize": None, "ngrams": 2, "output_sequence_length": 5}, ROWS, False, ROWS),
    (TV, {"output_mode": "multi_hot", "max_tokens": 12}, TEXTS, False, NEW),
    (TV, {"output_mode": "count", "max_tokens": 40, "pad_to_max_tokens": True}, TEXTS, True, NEW),
    (TV, {"output_mode": "tf_idf"}, TEXTS, False, NEW),
    (TV, {"output_mode": "tf-idf", "ngrams": 2, "max_tokens": 60, "pad_to_max_tokens": True}, TEXTS, True, NEW),
    (TV, {"output_mode": "tf_idf", "vocabulary": ["film", "dull"], "idf_weights": [0.5, 2.0]}, None, False, NEW),
    (TV, {"vocabulary": ["", "[UNK]", "film", "caf\u00e9"], "output_sequence_length": 4}, None, False, NEW),
    (SL, {"vocabulary": ["a", "b", "c", "d"]}, None, False, ROWS),
    (SL, {"num_oov_indices": 3, "mask_token": "z"}, ROWS, False, [["a", "q", "z", "rr"], ["d", "s", "", "ttt"]]),
    (SL, {"vocabulary": ["a"], "num_oov_indices": 5, "salt": [133, 137]}, None, False, [["b", "c", "a", "dd", "e"]]),
    (SL, {"vocabulary": ["a", "b", "c", "d"], "num_oov_indices": 0}, None, False, [["a", "d", "b"]]),
    (SL, {"vocabulary": ["a", "b"], "invert": True, "mask_token": ""}, None, False, [[0, 1, 2], [3, 4, -1]]),
    (SL, {"vocabulary": ["a", "b", "c", "d"], "output_mode": "one_hot"}, None, False, [["a"], ["z"]]),
    (SL, {"output_mode": "multi_hot", "mask_token": "z"}, ROWS, False, ROWS),
    (SL, {"output_mode": "count", "max_tokens": 4}, ROWS, True, ROWS),
    (SL, {"output_mode": "tf_idf", "max_tokens": 9, "pad_to_max_tokens": True}, ROWS, False, ROWS),
    (SL, {"output_mode": "tf_idf"}, ROWS, True, ROWS),
    (IL, {"vocabulary": [12, 36, 1138, 42]}, None, False, [[12, 1138, 42], [42, 1000, 36]]),
    (IL, {"vocabulary": [10, 20, 30], "num_oov_indices": 4}, None, False, [[100, 301, 20, -7], [5, 6, 2**40, 1]]),
    (IL, {"vocabulary": [10], "num_oov_indices": 4, "oov_method": "farmhash"}, None, False,
     [[100, 300, 700, 1100, -3]]),
    (IL, {"vocabulary": [10], "num_oov_indices": 4, "oov_method": "farmhash", "salt": 7}, None, False, [[1, 2, 3, 10]]),
    (IL, {"vocabulary": [12, 36], "invert": True, "mask_token": 0}, None, False, [[0, 1, 2, 3, 9]]),
    (IL, {"mask_token": 7, "max_tokens": 4}, NUMBERS, False, NUMBERS),
    (IL, {"output_mode": "count", "mask_token": 7}, NUMBERS, True, NUMBERS),
    (IL, {"output_mode": "tf_idf"}, NUMBERS, False, NUMBERS),
    (IL, {"output_mode": "one_hot", "vocabulary": [12, 36]}, None, False, NUMBERS),
    ("Hashing", {"num_bins": 1_000_003}, None, False, [LONG]),
    ("Hashing", {"num_bins": 1_000_003, "salt": [133, 137]}, None, False, [LONG]),
    ("Hashing", {"num_bins": 3, "mask_value": "", "salt": 133}, None, False, [["A"], ["B"], [""], ["C"]]),
    ("Hashing", {"num_bins": 7, "mask_value": 42}, None, False, NUMBERS),
    ("Hashing", {"num_bins": 5, "output_mode": "one_hot"}, None, False, [["A"], ["B"]]),
    ("Hashing", {"num_bins": 5, "output_mode": "count"}, None, False, ROWS),
    ("Hashing", {"num_bins": 5, "output_mode": "multi_hot"}, None, False, NUMBERS),
    ("Discretization", {"bin_boundaries": [0.0, 1.0, 2.0]}, None, False, REALS),
    ("Discretization", {"num_bins": 4}, REALS, False, REALS),
    ("Discretization", {"num_bins": 5, "epsilon": 0.05, "output_mode": "count"}, MANY, False, REALS),
    ("Discretization", {"num_bins": 6, "output_mode": "multi_hot"}, MANY, True, REALS),
    ("Discretization", {"num_bins": 3, "epsilon": 0.1, "output_mode": "one_hot"}, MANY, True, [[1.0], [70.0]]),
    ("CategoryEncoding", {"num_tokens": 5}, None, False, [[0, 1, 1], [4, 3, 0]]),
    ("CategoryEncoding", {"num_tokens": 5, "output_mode": "count"}, None, False, [[0, 1, 1], [4, 3, 0]]),
    ("CategoryEncoding", {"num_tokens": 5, "output_mode": "one_hot"}, None, False, [[3], [0]]),
    ("CategoryEncoding", {"num_tokens": 4, "output_mode": "one_hot"}, None, False, [[3, 0], [0, 2]]),
]  # fmt: skip


def label(case):
    kind, options, *_ = case
    return f"{kind}({', '.join(f'{name}={value!r}' for name, value in options.items())})"


def arguments(options):
    """The options of a case; a list of widths is a tuple."""
    several = isinstance(options.get("ngrams"), list)
    return {**options, "ngrams": tuple(options["ngrams"])} if several else options


def batches(data, size=3):
    return [data[start : start + size] for start in range(0, len(data), size)]
