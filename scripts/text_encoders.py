"""Processor seconds and peak memory of encoding texts, every measurement in a process of its own.

    python scripts/text_encoders.py --root ../shared/data                     queries of CLINC150, and a million generated texts
    python scripts/text_encoders.py --root ../shared/data --sentence FOLDER   a sentence-transformers model as well

"cached" is a second process, which finds the features in the cache. "used" draws batches of 1024 examples at random, as many as
there are texts. The cache is a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

WORDS = 20000
MILLION = 10**6


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default="../shared/data", help="folder with clinc150 (default ../shared/data)")
    parser.add_argument("--sentence", default=None, metavar="FOLDER", help="a sentence-transformers model to measure as well")
    parser.add_argument("--texts", type=int, default=MILLION, help="generated texts (default a million)")
    parser.add_argument("--worker", default=None, help=argparse.SUPPRESS)
    return parser.parse_args()


def queries(root: str) -> list[str]:
    """All queries of CLINC150 that have an intent."""
    content = json.loads(Path(root, "clinc150", "data_full.json").read_text())
    return [text for part in ("train", "val", "test") for text, _ in content[part]]


def generated(count: int) -> list[str]:
    """Texts of 4 to 14 words, frequent words more often."""
    rng = np.random.default_rng(0)
    letters = np.array(list("etaoinshrdlu"))
    words = ["".join(rng.choice(letters, size)) for size in rng.integers(2, 10, WORDS)]

    def texts() -> Iterator[str]:
        for length in rng.integers(4, 15, count).tolist():
            yield " ".join(words[int(place)] for place in WORDS ** rng.random(length))

    return list(texts())


def work(task: dict[str, object]) -> None:
    """Encodes in a worker, and prints what it took as JSON."""
    from metacl_run.data.sources.source import Catalogue, LabelledExamples
    from metacl_run.data.text.text_encoder import encoder_of
    from metacl_run.data.text.text_features import encoded
    from metacl_run.runtime.process_memory import peak_memory_mb

    count = task["texts"]
    texts = queries(str(task["root"])) if count is None else generated(int(str(count)))
    encoder = encoder_of(str(task["encoder"]))
    before, begun, began = peak_memory_mb(), time.process_time(), time.perf_counter()
    x = encoded(encoder, texts)
    seconds, wall = time.process_time() - begun, time.perf_counter() - began
    catalogue = Catalogue(names=["all"], counts=np.array([len(x)]), groups=["all"])
    examples = LabelledExamples(catalogue=catalogue, x=x, raw=texts)
    made, rng = peak_memory_mb(), np.random.default_rng(1)
    for _ in range(0, len(x), 1024):
        examples.x[rng.integers(0, len(x), 1024)].sum()
    peaks = {"before": before, "made": made, "used": peak_memory_mb()}
    print(json.dumps({"texts": len(texts), "dimensions": int(np.prod(encoder.shape)), "cpu": seconds, "wall": wall, **peaks}))


def main() -> None:
    args = parse()
    if args.worker is not None:
        work(json.loads(args.worker))
        return
    from metacl_run.runtime.environment import describe

    environment = describe(torch.device("cpu"))
    console = Console(width=120, highlight=False)
    console.print(shlex.join(["python", "scripts/text_encoders.py", *sys.argv[1:]]))
    console.print(f"{environment['device']}, {environment['platform']}, one thread")
    console.print(f"torch {environment['torch']}, python {environment['python']}, commit {environment['git_commit']}")
    encoders = ["hashed", "hashed:2048", "wordllama", "trained", *([f"sentence:{args.sentence}"] if args.sentence else [])]
    tasks = [{"encoder": encoder, "root": args.root, "texts": None} for encoder in encoders]
    tasks.append({"encoder": "hashed:256", "root": args.root, "texts": args.texts})
    table = Table(title="encoding texts; seconds of one processor, MB of the whole process", title_justify="left")
    for header in ("encoder", "texts", "dimensions", "", "cpu s", "wall s", "MB before", "MB made", "MB used"):
        table.add_column(header, justify="left" if header in ("encoder", "") else "right")
    for task in tasks:
        with tempfile.TemporaryDirectory() as cache:
            for words in ("made", "cached"):
                command = [sys.executable, __file__, "--worker", json.dumps(task)]
                variables = {**os.environ, "METACL_CACHE": cache, "OMP_NUM_THREADS": "1"}
                output = subprocess.run(command, env=variables, stdout=subprocess.PIPE, check=True, text=True).stdout
                measured = json.loads(output)
                numbers = [f"{measured[key]:.1f}" for key in ("cpu", "wall")]
                numbers += [f"{measured[key]:.0f}" for key in ("before", "made", "used")]
                name = str(task["encoder"]).partition("/")[0]
                table.add_row(name, f"{measured['texts']:,}", str(measured["dimensions"]), words, *numbers)
    console.print(table)


if __name__ == "__main__":
    main()
