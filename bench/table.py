"""From records to Markdown: one table a measurement, ours against the best of the others."""

import math
from statistics import median

from workloads import WORKLOADS

TABLES = (  # title, key of a record, remark
    ("Training: milliseconds a step", "ms_step",
     "Warm; the median over the rounds of whole epochs, divided by their steps."),
    ("Training: seconds an epoch", "epoch", "The same measurement."),
    ("Seconds from the start of the process to the end of the first epoch", "first_epoch_s",
     "Imports, building and compiling included; one fresh process each."),
    ("Seconds from building the model to the end of its first epoch", "cold_s",
     "Compiling included, in a process that is running already."),
    ("One row predicted: milliseconds", "predict_ms",
     "`model.predict(row)` in the columns of Keras and ours, a forward call in the loops; the median."),
    ("One row predicted with `model(row)`: milliseconds", "call_ms", "A forward call in all columns; the median."),
    ("Peak memory of the process: MB", "peak_mb", "The data is part of it, and the same for all."),
)  # fmt: skip


MORE = (
    "Rows a second in large predictions", "rows_s",
    "`predict` with batches of 256, a forward call for each of them in the loops; NumPy arrays in and out. The number "
    "of rows is a power of two, at most 32,768, and takes at most 20 billion operations in products. The median.",
)  # fmt: skip


def value(record, key):
    """A number of a record; the loops have one way to predict, and it serves for both tables."""
    if record is None or "error" in record:
        return None
    return record.get(key, record.get("call_ms") if key == "predict_ms" else None)


def grid(head, rows):
    lines = [f"| {' | '.join(head)} |", f"|{'---|' + '---:|' * (len(head) - 1)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def shown(number):
    """Three digits that count."""
    if number is None:
        return "–"
    return f"{number:.{max(0, 2 - math.floor(math.log10(number)))}f}" if number > 0 else "0"


def row(title, numbers, better=min):
    """One line: every framework, the best of the others, and how many times better ours is."""
    ours, others = numbers.get("ours"), [n for name, n in numbers.items() if name != "ours" and n is not None]
    best = better(others, default=None)
    times = None if ours is None or best is None else best / ours if better is min else ours / best
    ratio = "–" if times is None else f"{times:.2f}×"
    cells = [f"**{shown(n)}**" if n is not None and n == best else shown(n) for n in numbers.values()]
    return [title, *cells, ratio]


def tables(records, names, skip=()):
    """All tables of a run; records: {(workload, framework): record}."""
    head = ["", *names, "best other ÷ ours"]
    parts = []
    workloads = list(dict.fromkeys(workload for workload, _ in records))
    for title, key, remark in TABLES:
        if key in skip:
            continue
        rows = [
            row(WORKLOADS[w].title, {name: value(records.get((w, name)), key) for name in names}) for w in workloads
        ]
        parts.append(f"### {title}\n\n{remark}\n\n{grid(head, rows)}")
    parts += [many_table(records, names), again_table(records), import_table(records, names, head)]
    parts += [floor_table(records), failures(records), spread(records)]
    return "\n\n".join(part for part in parts if part)


def many_table(records, names):
    """Rows a second: the only table in which more is better."""
    title, key, remark = MORE
    workloads = dict.fromkeys(w for (w, _), r in records.items() if "rows_s" in r)
    rows = [
        row(f"{WORKLOADS[w].title}: {WORKLOADS[w].many} rows",
            {name: value(records.get((w, name)), key) for name in names}, better=max)
        for w in workloads
    ]  # fmt: skip
    return f"### {title}\n\n{remark}\n\n{grid(['', *names, 'ours ÷ best other'], rows)}" if rows else ""


def floor_table(records):
    """How much of what the machine gives in one large product, or one long copy, a training step of ours gets."""
    rows = []
    for (name, framework), r in records.items():
        if framework == "ours" and "error" not in r and "gflops" in r:
            work, moved = WORKLOADS[name].products / 1e6, WORKLOADS[name].traffic / 1e6
            floors = work / r["gflops"], moved / r["gbytes"]
            cells = [work, r["gflops"], floors[0], moved, r["gbytes"], floors[1], r["ms_step"]]
            rows.append([WORKLOADS[name].title, *map(shown, cells), f"{max(floors) / r['ms_step']:.0%}"])
    head = ["", "MFLOP in products", "GFLOP/s of a 2048³ product", "products, ms", "MB moved", "GB/s", "moving, ms",
            "ours, ms", "larger floor ÷ ours"]  # fmt: skip
    remark = (
        "Two floors: the step's products alone, at the best rate of XLA's own 2048³ float32 product; and the bytes "
        "that it moves if no cache keeps anything (its rows, the outputs of its products written and read once, each "
        "weight and both moments of Adam read and written), at the best rate of adding one to an array of 268 MB in "
        "place. Both rates are measured in the process of ours. What a cache keeps costs less than the second floor "
        "says. Activations, pooling, gathering and metrics are in neither."
    )
    return f"### How close to the machine\n\n{remark}\n\n{grid(head, rows)}" if rows else ""


def again_table(records):
    """First epochs of ours in a first and in a second run of the same script."""
    rows = [
        [WORKLOADS[name].title, shown(r["first_epoch_s"]), shown(r["again_s"])]
        for (name, _), r in records.items() if "again_s" in r
    ]  # fmt: skip
    remark = "Seconds to the end of the first epoch, as above; the second run finds compiled programs on the disk."
    return f"### The second run of a script\n\n{remark}\n\n{grid(['', 'first', 'second'], rows)}" if rows else ""


def import_table(records, names, head):
    """The median over all processes of a framework."""
    found = {name: [r["import_s"] for (_, n), r in records.items() if n == name and "import_s" in r] for name in names}
    numbers = {name: median(times) if times else None for name, times in found.items()}
    return f"### Import: seconds\n\nWith the engine beneath.\n\n{grid(head, [row('import', numbers)])}"


def failures(records):
    lines = [f"- {WORKLOADS[w].title}, {name}: {r['error']}" for (w, name), r in records.items() if "error" in r]
    return "Not measured:\n\n" + "\n".join(lines) if lines else ""


def spread(records):
    """How far apart the rounds of one framework were: the steadiness of the machine."""
    apart = [max(r["epoch_s"]) / min(r["epoch_s"]) - 1 for r in records.values() if len(r.get("epoch_s", ())) > 1]
    if not apart:
        return ""
    return (
        f"Slowest against fastest round of the same framework: {median(apart):.0%} apart in the median case, "
        f"{max(apart):.0%} at worst."
    )


def put_in_page(page, text, name="bench"):
    """Replace what stands between the two markers of this name in the page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}", encoding="utf-8")
