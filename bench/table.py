"""From records to Markdown: one table a measurement, ours against the best of the others."""

import math
from statistics import median

from workloads import WORKLOADS

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"

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


def row(title, numbers):
    """One line: every framework, the best of the others, and how many times ours that is."""
    ours, others = numbers.get("ours"), [n for name, n in numbers.items() if name != "ours" and n is not None]
    best = min(others, default=None)
    ratio = "–" if ours is None or best is None else f"{best / ours:.2f}×"
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
    parts += [again_table(records), import_table(records, names, head), floor_table(records)]
    return "\n\n".join(part for part in [*parts, failures(records), spread(records)] if part)


def floor_table(records):
    """How much of what the machine gives in one large product a training step of ours gets."""
    rows = []
    for (name, framework), r in records.items():
        if framework == "ours" and "error" not in r and "gflops" in r:
            least = WORKLOADS[name].products / r["gflops"] / 1e6
            cells = [WORKLOADS[name].products / 1e6, r["gflops"], least, r["ms_step"]]
            rows.append([WORKLOADS[name].title, *map(shown, cells), f"{least / r['ms_step']:.0%}"])
    head = ["", "MFLOP in products", "GFLOP/s of a 2048³ product", "floor, ms", "ours, ms", "floor ÷ ours"]
    remark = (
        "The floor is the step's products alone, at the best rate of XLA's own 2048³ float32 product, measured in the "
        "same process between the rounds. Optimizer, activations, pooling, gathering and metrics are not in it."
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


def put_in_page(page, text):
    """Replace what stands between the two markers of the page."""
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")
