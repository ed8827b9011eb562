"""`make conformance`: Keras's own test files, run on seriatim; the scoreboard goes to docs/conformance.md.

    python tests/conformance/run.py [--accept] [--jobs 2] [part of a path …]

The files are those of the installed development dependency keras==3.15.1; none is kept here. `files.txt` grades
them, `expected.txt` lists the tests that pass (it may only grow: `--accept` adds what passes now), `exempt.txt` says
why some do not. The exit status is 1 if an expected test does not pass.
"""

import argparse
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
REPORT = HERE.parents[1] / "docs" / "conformance.md"
LAST = HERE.parents[1] / "out" / "conformance.json"
sys.path.insert(0, str(HERE))

import hook

GROUP = 10  # files a process: each start costs seconds, and a crash costs its group
GRADES = {
    "A": "files that a Sequential library can run as they are",
    "B": "files of which a part needs what is out of scope",
    "C": "files with few tests that concern a Sequential model",
}


def graded():
    """{file: grade} in the order of the list."""
    lines = (HERE / "files.txt").read_text().split("\n")
    return {name: grade for grade, _, name in (line.partition(" ") for line in lines if line)}


def expected():
    return set((HERE / "expected.txt").read_text().splitlines()) if (HERE / "expected.txt").exists() else set()


def exemptions():
    """[(pattern, reason)]: the first that fits a test counts."""
    lines = [line for line in (HERE / "exempt.txt").read_text().splitlines() if line and not line.startswith("#")]
    return [tuple(part.strip() for part in line.split(" | ", 1)) for line in lines]


def run(files, jobs=1):
    """{test: (outcome, reason)} of these files of the keras package."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "pytest.ini").write_text("[pytest]\nfilterwarnings = ignore\n")
        for name in files:
            place = root / f"{name}_test.py"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(hook.WHEEL / "src" / f"{name}_test.py", place)
        groups = [files[i : i + GROUP] for i in range(0, len(files), GROUP)]
        with ThreadPoolExecutor(jobs) as pool:
            logs = list(pool.map(lambda pair: process(root, *pair), enumerate(groups)))
    return {test: (outcome, reason) for log in logs for test, outcome, reason in log}


def process(root, number, files):
    """The log of one pytest process."""
    log = root / f"log{number}"
    log.touch()
    environment = {**os.environ, "PYTHONPATH": str(HERE), "CONFORMANCE_LOG": str(log), "SERIATIM_CACHE": "0"}
    command = [
        sys.executable, "-m", "pytest", "-q", "--import-mode=importlib", "-p", "plugin", "-p", "no:cacheprovider",
        "--continue-on-collection-errors", "--rootdir", str(root), "-c", str(root / "pytest.ini"),
    ]  # fmt: skip
    done = subprocess.run(
        [*command, *(f"{name}_test.py" for name in files)], cwd=root, env=environment, capture_output=True, text=True
    )
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    if done.returncode not in (0, 1, 2, 5):
        lines.append([f"{files[0]}_test.py", "error", (done.stdout + done.stderr)[-600:]])
    return lines


def sort_out(results, exempt):
    """{file: {"passed": [...], "failed": [(test, why)], "exempt": [(test, why)]}}"""
    table = defaultdict(lambda: {"passed": [], "failed": [], "exempt": []})
    for test, (outcome, reason) in sorted(results.items()):
        name = test.partition("_test.py")[0]
        excuse = next((why for pattern, why in exempt if fnmatch.fnmatchcase(test, pattern)), None)
        if outcome == "passed":
            table[name]["passed"].append(test)
        elif excuse or outcome == "skipped":
            table[name]["exempt"].append((test, excuse or f"skips itself: {reason.removeprefix('Skipped: ')}"))
        else:
            table[name]["failed"].append((test, reason))
    return table


def write_report(table, grades):
    """docs/conformance.md: a row a file."""
    lines = [
        "# Keras's own tests, run on seriatim",
        "",
        "`make conformance` runs the test files inside the keras 3.15.1 wheel (a development dependency; nothing of it",
        "is kept here) against seriatim, through an import hook, and writes this page. An error of ours is held to the",
        "class that Keras raises, not to its words. *Exempt* is what skips itself (other frameworks, accelerators) or",
        "stands in `tests/conformance/exempt.txt` with a reason.",
        "",
        "| grade | files | passed | failed | exempt |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for grade, words in GRADES.items():
        files = [name for name in grades if grades[name] == grade]
        counts = Counter(
            {kind: sum(len(table[name][kind]) for name in files) for kind in ("passed", "failed", "exempt")}
        )
        lines.append(
            f"| {grade}: {words} | {len(files)} | {counts['passed']} | {counts['failed']} | {counts['exempt']} |"
        )
    for grade in GRADES:
        lines += [
            "",
            f"## Grade {grade}",
            "",
            "| file | passed | failed | exempt | why exempt |",
            "|---|---|---|---|---|",
        ]
        for name in (name for name in grades if grades[name] == grade):
            row = table[name]
            why = Counter(reason.replace("|", "/")[:90] for _, reason in row["exempt"])
            if not any(row.values()):
                lines.append(f"| {name} | not run yet | | | |")
                continue
            words = "; ".join(f"{reason} ({count})" if count > 1 else reason for reason, count in why.most_common(4))
            lines.append(f"| {name} | {len(row['passed'])} | {len(row['failed'])} | {len(row['exempt'])} | {words} |")
    REPORT.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("parts", nargs="*")
    parser.add_argument("--accept", action="store_true", help="add what passes now to the list of expected passes")
    parser.add_argument("--exactly", action="store_true", help="the paths are whole, not parts")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--failures", action="store_true", help="print the failures")
    options = parser.parse_args()
    grades = graded()
    every = [name for name in grades if grades[name] in GRADES]
    fits = (
        (lambda name: name in options.parts) if options.exactly else lambda name: any(p in name for p in options.parts)
    )
    files = [name for name in every if not options.parts or fits(name)]
    results = run(files, options.jobs)
    table = sort_out(results, exemptions())
    passed = {test for name in files for test in table[name]["passed"]}
    for kind in ("passed", "failed", "exempt"):
        print(kind, sum(len(table[name][kind]) for name in files))
    if options.failures:
        for name in files:
            for test, reason in table[name]["failed"]:
                print(test, "\n   ", reason)
    lost = sorted(test for test in expected() - passed if test.partition("_test.py")[0] in files)
    for test in lost:
        print("lost:", test)
    if options.accept:
        (HERE / "expected.txt").write_text("\n".join(sorted(expected() | passed)) + "\n")
    if options.accept or not options.exactly:
        write_report(sort_out(kept(results, files), exemptions()), grades)
    return 1 if lost else 0


def kept(results, files):
    """The last known outcome of every test: a run of some files leaves what is known of the others."""
    known = json.loads(LAST.read_text()) if LAST.exists() else {}
    known = {test: found for test, found in known.items() if test.partition("_test.py")[0] not in files} | results
    LAST.parent.mkdir(exist_ok=True)
    LAST.write_text(json.dumps(known, indent=0))
    return known


if __name__ == "__main__":
    sys.exit(main())
