"""Do the tests notice a fault? One small fault after the other is put into a copy of the code.

    python benchmarks/mutation.py [MODULE ...] [--faults 40] [--again]

Each MODULE of ``TESTS`` gets at most ``--faults`` faults, drawn from all that ``faults_of`` knows:
a comparison, a sign, a number, a condition or a statement is changed, one at a time. Its tests run
in a fork of a process that has imported TensorFlow; a fault that they do not notice is printed and
kept, with the reason where it changes nothing that a test could see. With MODULES, the figures of
the others are kept; with --again, only faults are tried that were not noticed the last time.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  what tests import is imported once, before the forks
import keras  # noqa: F401
import pytest
import record
import tensorflow  # noqa: F401

ROOT = Path(__file__).parents[1]
TESTS = {
    "elbo": ["test_elbo.py", "runtime/test_edge_model.py"],
    "noise": ["test_noise.py"],
    "likelihoods": ["test_likelihoods.py"],
    "manifest": ["test_bundle.py", "runtime/test_source.py"],
    "manifest_json": ["test_bundle.py", "runtime/test_source.py"],
    "bundle": ["test_bundle.py", "runtime/test_source.py", "runtime/test_edge_model.py"],
    "runtime/codecs": [
        "runtime/test_edge_model.py",
        "runtime/test_graphs.py",
        "runtime/test_openvino.py",
        "runtime/test_prior.py",
    ],
    "exporters/passes/normalize": ["exporters/passes/test_exact.py"],
    "exporters/passes/fold": ["exporters/passes/test_exact.py"],
    "exporters/passes/lower": ["exporters/passes/test_exact.py", "exporters/passes/test_lower.py"],
    "exporters/passes/taps": ["exporters/passes/test_exact.py", "exporters/passes/test_lower.py"],
    "exporters/passes/linear": ["exporters/passes/test_exact.py", "exporters/passes/test_lower.py"],
    "exporters/passes/equalize": ["exporters/passes/test_quantize.py"],
    "exporters/passes/quantize": ["exporters/passes/test_quantize.py"],
    "training/loop": ["training/test_launch.py"],
    "training/run": ["training/test_run.py"],
}
_SWAPPED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.And: ast.Or,
    ast.Or: ast.And,
}  # fmt: skip


# Faults that change nothing a test could see, and why, as the results name them.
EQUIVALENT: dict[str, dict[str, str]] = {
    "noise": {
        "eps[low : low + count] = _box_muller(words).reshape(count, -1)[:, :latent_dim]: 1 -> 2":
            "numpy infers a size from any negative number",
        "count = min(_SEEDS_AHEAD, _AHEAD // (n * latent_dim), 2**64 - seed): "
        "n * latent_dim -> n / latent_dim":
            "how many seeds are drawn ahead changes no value",
        "return line == self.line and first == self.first + len(self.values): "
        "self.first + len(self.values) -> self.first - len(self.values)":
            "what is drawn ahead changes no value",
        "self.values: NDArray[np.float32] = np.empty((0, 0), np.float32): 0 -> 1":
            "a block of no line is never taken from",
        "if n > _FEW or n * latent_dim > _AHEAD:: n * latent_dim > _AHEAD -> "
        "n * latent_dim >= _AHEAD":
            "what is drawn ahead changes no value",
    },
    "likelihoods": {
        "terms: Array = np.where(x < half, log_upper, np.where(x > 1 - half, log_lower, inside)): "
        "x > 1 - half -> x >= 1 - half":
            "half a level below 1 is no level",
    },
    "bundle": {
        'text = json.dumps(manifest.to_dict(), indent=1, allow_nan=False) + "\\n": 1 -> 2':
            "spaces between a document's values mean nothing",
    },
    "runtime/codecs": {
        "_WHOLE, _WHOLE_PIXELS = 256, 256 * 32 * 32: 256 -> 257":
            "it is rounded down to a power of two",
        "_WHOLE, _WHOLE_PIXELS = 256, 256 * 32 * 32: 32 -> 33":
            "how many images are run together changes no value",
    },
    "training/run": {
        'write_text(self.folder / name, json.dumps(content, indent=2) + "\\n"): 2 -> 3':
            "spaces between a document's values mean nothing",
        "stacklevel=2,: 2 -> 3":
            "which line a warning names is for people",
    },
}  # fmt: skip


def faults_of(tree: ast.Module) -> Iterator[tuple[ast.AST, str, Any]]:
    """Yield every fault: the node, its field, and what the field is to hold.

    Annotations, decorators, docstrings and the words of errors are left alone: no test of what the
    code does could notice.
    """
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        waiting += [child for child in ast.iter_child_nodes(node) if not _is_idle(node, child)]
        if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in _SWAPPED:
            yield node, "op", _SWAPPED[type(node.op)]()
        elif isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
            yield node, "ops", [_SWAPPED[type(node.ops[0])](), *node.ops[1:]]
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield node, "value", not node.value
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            yield node, "value", node.value + 1
        elif isinstance(node, ast.If | ast.IfExp | ast.While):
            yield node, "test", ast.UnaryOp(ast.Not(), node.test)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield node, "operand", ast.UnaryOp(node.op, node.operand)  # twice is not at all
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield node, "value", ast.Constant(None)


def _is_idle(parent: ast.AST, child: ast.AST) -> bool:
    if isinstance(parent, ast.Raise):
        return True
    if isinstance(child, ast.arguments):  # defaults matter, annotations do not
        return False
    if isinstance(parent, ast.arg | ast.AnnAssign) and child is parent.annotation:
        return True
    if isinstance(parent, ast.FunctionDef | ast.ClassDef) and (
        child in parent.decorator_list or child is getattr(parent, "returns", None)
    ):
        return True
    return isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)


def faulty(source: str, number: int) -> tuple[str, str]:
    """Return the source with one fault, and words for it: the line, and what is other in it."""
    tree = ast.parse(source)
    node, field, value = list(faults_of(tree))[number]
    before = copy.deepcopy(node)
    setattr(node, field, value)
    ast.fix_missing_locations(tree)
    line = source.splitlines()[before.lineno - 1]  # type: ignore[attr-defined]
    words = f"{line}: {ast.unparse(before)} -> {ast.unparse(node)}"
    return ast.unparse(tree), " ".join(words.split())[:200]


def notices(tree: Path, tests: list[str], seconds: float) -> tuple[bool, float]:
    """Return whether the tests fail on a tree, and what they computed, in seconds."""
    pid = os.fork()
    if not pid:
        code = 70
        try:
            os.chdir(tree)
            sys.path.insert(0, str(tree))
            for name in [n for n in sys.modules if n.partition(".")[0] == "cvae_edge"]:
                del sys.modules[name]  # the checkout's, which keeps results
            os.environ["PYTHONPATH"] = str(tree)
            sys.dont_write_bytecode = True
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds)))
            signal.alarm(int(10 * seconds))  # for what sleeps for ever
            paths = [str(tree / "tests" / test) for test in tests]
            code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *paths]))
        finally:
            os._exit(code)
    _, status, used = os.wait4(pid, 0)
    return os.waitstatus_to_exitcode(status) != 0, used.ru_utime + used.ru_stime


def measure(module: str, tree: Path, faults: int, last: dict[str, Any] | None) -> dict[str, Any]:
    """Try faults in a module; of those that ``last`` has tried, the missed ones alone."""
    path = tree / "cvae_edge" / f"{module}.py"
    source, tests = path.read_text(), TESTS[module]
    failed, seconds = notices(tree, tests, 600)
    if failed:
        sys.exit(f"the tests of {module} fail without a fault")
    known = len(list(faults_of(ast.parse(source))))
    chosen = sorted(random.Random(0).sample(range(known), min(faults, known)))
    missed = []
    for number in chosen:
        text, words = faulty(source, number)
        if last and last["known"] == known and words not in last["missed"]:
            continue
        if words in EQUIVALENT.get(module, {}):
            missed.append(words)
            continue
        path.write_text(text)
        if not notices(tree, tests, 3 * seconds + 10)[0]:
            missed.append(words)
            print(f"{module} {words}", flush=True)
    path.write_text(source)
    return {"known": known, "tried": len(chosen), "noticed": len(chosen) - len(missed),
            "missed": missed}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--faults", type=int, default=40)
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    figures = record.kept("mutation").get("modules", {})
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        for name in ("cvae_edge", "tests", "export", "benchmarks"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, tree)
        for module in arguments.modules:
            last = figures[module] if arguments.again else None
            faults = last["tried"] if last else arguments.faults
            figures[module] = measure(module, tree, faults, last)
            print(module, {k: v for k, v in figures[module].items() if k != "missed"}, flush=True)
    tried, noticed = (sum(f[k] for f in figures.values()) for k in ("tried", "noticed"))
    rows = [(m, f["known"], f["tried"], f["noticed"]) for m, f in sorted(figures.items())]
    text = record.markdown_table(("module", "faults known", "tried", "noticed"), rows)
    text += f"\nTogether {noticed} of {tried}, {noticed / tried:.0%}. Not noticed:\n\n"
    for module, f in sorted(figures.items()):
        for words in f["missed"]:
            reason = EQUIVALENT.get(module, {}).get(words)
            text += f"- {module}, `{words}`" + (f": {reason}\n" if reason else "\n")
    record.write("mutation", {"modules": figures}, "Faults that the tests notice", text)


if __name__ == "__main__":
    main()
