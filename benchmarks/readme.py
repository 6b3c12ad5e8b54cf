"""The figures in the READMEs, made from the kept results so that they cannot drift apart.

What a page has between ``<!-- figures:NAME -->`` and ``<!-- /figures -->`` is what the function
``NAME`` here makes of the results that its arguments are named after, and the machine they are of:
the one with the newest of them.
"""

from __future__ import annotations

import inspect
import json
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import record
from footprint import table as footprint_table
from inference_report import best_table
from microcontroller_report import summary
from quantization_report import quantizer_table
from targets_report import summary as targets_summary
from tuning_report import tuning_table
from web import table as web_table

PAGES = (Path(__file__).parents[1] / "README.md", Path(__file__).with_name("README.md"))
Results = dict[str, Any]
_BLOCK = re.compile(r"(<!-- figures:(\w+) -->\n).*?(<!-- /figures -->)", re.DOTALL)
_PRECISIONS = ("float32", "float16", "dynamic_range", "int8")
_TUTORIAL = (
    -78.26
)  # test ELBO in nats of another implementation of recipe seed, its 100 epochs done


def results(names: Sequence[str]) -> list[Results]:
    """Return the kept figures of some scripts, all of one machine: the one with the newest.

    Raises:
        ValueError: no machine has all of them.
    """
    found: dict[str, list[Results]] = {}  # by their dates
    for folder in sorted(record.RESULTS.iterdir()):
        paths = [folder / f"{name}.json" for name in names]
        if all(path.exists() for path in paths):
            parts: list[Results] = [json.loads(path.read_text()) for path in paths]
            found[max(part["date"] for part in parts)] = parts
    if not found:
        raise ValueError(f"no machine has the figures of {', '.join(names)}: run their scripts")
    return found[max(found)]


def front(quantization: Results, lowering: Results, samples: Results) -> str:
    """What the README shows first."""
    times: dict[tuple[str, str], float] = {}
    for row in lowering["rows"]:
        if (row["run"], row["format"], row["threads"]) == ("mnist", "tflite", 1):
            times[row["precision"], row["lowering"]] = row["microseconds"]
    rows = []
    for precision in ("float32", "dynamic_range", "int8"):
        ours, own = times[precision, "polyphase"], times[precision, "tools' own"]
        words = f"decoder in {precision.replace('_', ' ')}, microseconds an image"
        rows.append([words, f"{ours:.0f}", f"{own:,.0f}"])
    tflite = {q["quantizer"]: q for q in quantization["quantizers"] if q["format"] == "tflite"}
    pairs = [tflite[name] for name in ("this package, int8", "converter, post-training int8")]
    rows.append(["int8 pair, nats gained", *(f"{-p['loss_nats']['pair']:+.2f}" for p in pairs)])
    rows.append(["int8 pair, kB", *(f"{p['bytes'] / 1e3:.0f}" for p in pairs)])
    judged = samples["judged"]
    shares = (f"{judged[prior]['sure']:.0%}" for prior in ("flow", "standard"))
    rows.append(["samples of which a classifier is at least 90% sure", *shares])
    columns = ("MNIST model, TFLite, one thread", "cvae_edge", "TensorFlow's converter")
    return record.markdown_table(columns, rows)


def model(recipe_fast: Results, recipe_seed: Results) -> str:
    fast, seed = recipe_fast["summary"], recipe_seed["summary"]
    learned = f", and {fast['test_elbo']:.2f} with its learned prior" if "prior" in fast else ""
    text = (
        f"**The model.** Recipe `fast` reaches a test ELBO of {_standard_elbo(fast):.2f} ± "
        f"{fast['test_elbo_standard_error']:.2f} nats in {fast['epochs']} epochs on "
        f"{fast['train_images']:,} images{learned}. The tutorial's recipe is at "
        f"{_standard_elbo(seed):.2f} after {seed['epochs']} epochs; another "
        f"implementation of it reached {_TUTORIAL} after its 100."
    )
    return textwrap.fill(text, 100) + "\n"


def _standard_elbo(summary: Results) -> float:
    """Return the test ELBO with the standard normal prior, which the tutorial has."""
    elbo: float = summary.get("test_elbo_standard_prior", summary["test_elbo"])
    return elbo


def files(inference: Results) -> str:
    pairs = {(p["format"], p["precision"]): p for p in inference["pairs"]}
    rows = []
    for precision in _PRECISIONS:
        cells = [precision.replace("_", " ")]
        for format in ("onnx", "tflite"):
            pair = pairs[format, precision]
            loss = round(pair["loss_nats"], 3) + 0.0  # no negative zero
            cells += [f"{loss:.3f}", f"{pair['bytes'] / 1e3:.0f}"]
        rows.append(cells)
    columns = ("precision", "ONNX: nats a pair", "kB", "TFLite: nats a pair", "kB")
    return record.markdown_table(columns, rows)


def tuning(tuning_int8: Results) -> str:
    return tuning_table(tuning_int8["runs"])


def quantizers(quantization: Results) -> str:
    text = (
        f"int8 by several quantizers, of the same MNIST model, from one calibration set, on "
        f"{quantization['quantizer_images']:,} test images; microseconds are of one image with one "
        "thread:"
    )
    return f"{textwrap.fill(text, 100)}\n\n{quantizer_table(quantization['quantizers'])}"


def tflite(lowering: Results, quantization: Results) -> str:
    times: dict[str, dict[str, float]] = {}
    for row in lowering["rows"]:
        facts = (row["run"], row["format"], row["batch"], row["threads"])
        if facts == ("mnist", "tflite", 1, 1):
            times.setdefault(row["precision"], {})[row["lowering"]] = row["microseconds"]
    precisions = ("float32", "dynamic_range", "int8")
    ratios = [times[p].pop("tools' own") / min(times[p].values()) for p in precisions]
    batches = [
        quantization["speed_ratio"][
            f"onnx decoder, tools' own float32 / our int8, 100 images, {threads} threads"
        ]
        for threads in (1, 2)
    ]
    arena = quantization["tflite_micro_arena_bytes"]
    text = (
        f"In TFLite Micro the int8 decoder takes an arena of {arena['polyphase']:,} bytes, or of "
        f"{arena['subpixel']:,} with `--lowering subpixel`. The int8 ONNX decoder decodes 100 "
        f"images {batches[0]:.1f} (one thread) and {batches[1]:.1f} times (two) as fast as a plain "
        "float32 export."
    )
    columns = [p.replace("_", " ") for p in precisions]
    table = record.markdown_table(columns, [[f"{ratio:.1f} times faster" for ratio in ratios]])
    return f"{table}\n{textwrap.fill(text, 100)}\n"


def microcontroller(microcontroller: Results) -> str:
    return summary(microcontroller)


def targets(targets: Results) -> str:
    return targets_summary(targets)


def architectures(lowering: Results) -> str:
    found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    for row in lowering["rows"]:
        if row["format"] == "tflite" and row["threads"] == 1:
            by = found.setdefault(row["run"], {})
            by[row["precision"], row["lowering"]] = row
    rows = []
    for run, by in found.items():
        cells = [run]
        for precision in ("float32", "int8"):
            own, ours = by[precision, "tools' own"], by[precision, "polyphase"]
            cells += [
                f"{own['microseconds'] / ours['microseconds']:.1f}",
                f"{ours['bytes'] / own['bytes'] - 1:+.0%}",
            ]
        rows.append(cells)
    columns = ("decoder", "float32: times as fast", "bytes", "int8: times as fast", "bytes")
    return record.markdown_table(columns, rows)


def inference(inference: Results) -> str:
    return best_table(inference, goals=False)


def device(runtime: Results) -> str:
    rows = []
    for name, figure in runtime["figures"].items():
        if "ratio" in figure:
            spread = f"{figure['lowest']:.2f} to {figure['highest']:.2f}"
            rows.append([name, f"{figure['ratio']:.2f} ({spread})"])
        else:
            rows.append([name, f"{figure['difference']:+.1f} MB"])
    return record.markdown_table(("A / B", "median (range over rounds)"), rows)


def cold_start(cold_start: Results) -> str:
    rows = [
        [
            name,
            *(f"{ms:.0f}" for ms in figure["milliseconds"].values()),
            f"{figure['total_milliseconds']:.0f}",
            f"{figure['resident_megabytes']:.0f}",
        ]
        for name, figure in cold_start["starts"].items()
    ]
    columns = ("milliseconds", "import", "load", "first image", "together", "resident MB")
    return record.markdown_table(columns, rows)


def web(web: Results) -> str:
    versions = web["versions"]
    text = (
        f"In Chromium {versions['chromium'].split('.')[0]} with onnxruntime-web "
        f"{versions['onnxruntime-web']}, WebAssembly, one thread, served from the same machine; "
        f"each of {web['rounds']} rounds is a new browser with an empty cache, {web['priority']}."
    )
    return f"{web_table(web, goals=False)}\n{textwrap.fill(text, 100)}\n"


def footprint(footprint: Results) -> str:
    return footprint_table(footprint["installations"])


def scaling(scaling: Results) -> str:
    rows = []
    for part in scaling["parts"].values():
        sizes = [f"{part['points'][i]['size']:,}" for i in (0, -1)]
        slopes = [part["exponents"][name] for name in ("seconds", "megabytes")]
        cells = [f"{s['all']:.2f}, {s['last_two']:.2f}" for s in slopes]
        rows.append([part["title"], " to ".join(sizes), *cells])
    return record.markdown_table(("", "sizes", "time: exponents", "memory: exponents"), rows)


def training(training_batch_100: Results) -> str:
    rows = [
        [
            name,
            loop["median"],
            f"{loop['cvae_edge_is_faster_by']:.2f}",
            f"{loop['share_of_matrix_product_rate']:.0%}",
        ]
        for name, loop in training_batch_100["loops"].items()
    ]
    columns = ("", "images a second", "cvae_edge is faster by", "of the matrix-product rate")
    return record.markdown_table(columns, rows)


BLOCKS: dict[str, Callable[..., str]] = {
    function.__name__: function
    for function in (
        front,
        model,
        files,
        tuning,
        quantizers,
        tflite,
        microcontroller,
        targets,
        architectures,
        inference,
        device,
        cold_start,
        web,
        footprint,
        scaling,
        training,
    )
}


def rebuilt(text: str) -> str:
    """Return a page's text with every block made anew."""
    return _BLOCK.sub(lambda found: found[1] + block(found[2]) + found[3], text)


def block(name: str) -> str:
    """Return what one block says, and which machine it is of; see ``results``."""
    function = BLOCKS[name]
    parts = results(list(inspect.signature(function).parameters))
    return f"{function(*parts)}\n{record.machine_words(parts[0]['machine'])}"


def rebuild() -> list[str]:
    """Write the pages; return which of them changed, by their paths in the checkout."""
    changed = []
    for page in PAGES:
        text = page.read_text()
        new = rebuilt(text)
        if new != text:
            page.write_text(new)
            changed.append(str(page.relative_to(PAGES[0].parent)))
    return changed
