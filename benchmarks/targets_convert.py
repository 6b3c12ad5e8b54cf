"""What only converts a bundle's files; see targets.py."""

from __future__ import annotations

import csv
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from cvae_edge.bundle import Bundle

VELA = "ethos-u-vela==5.2.0"
COREMLTOOLS = "coremltools==9.0"
ACCELERATOR = "ethos-u55-128"
NO_WAY_IN = {"ExecuTorch": "takes programs of torch.export alone"}


def vela(program: Path, bundle: Bundle) -> dict[str, Any]:
    """Where each operator of the int8 TFLite files runs with an Ethos-U55, and vela's estimate."""
    figures = {}
    for role in ("encoder", "decoder"):
        artifact = bundle.manifest.find(role, "tflite", "int8")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, artifact.file)
            file.write_bytes(bundle.read(artifact))
            words = (program, "--accelerator-config", ACCELERATOR, "--output-dir", folder, file)
            said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
            (table,) = Path(folder).glob("*_summary_*.csv")
            (row,) = csv.DictReader(table.open())
        counts = {
            where: int(found[1]) if (found := re.search(rf"{where} operators = (\d+)", said)) else 0
            for where in ("NPU", "CPU")
        }
        figures[role] = {
            "lowering": artifact.lowering,
            "io": artifact.inputs[0].dtype,
            "operators": counts,
            "fallbacks": dict(re.findall(r"operator: (\w+), ofm: .*\nReason: (.*)", said)),
            "cycles": int(float(row["cycles_total"])),
            "milliseconds": round(float(row["inference_time"]) * 1000, 3),
            "sram_kilobytes": round(float(row["sram_memory_used"]), 1),
        }
    return figures


def coremltools(python: Path, bundle: Bundle) -> dict[str, str]:
    """Why Core ML's converter refuses a file, by format."""
    code = "import sys, coremltools; coremltools.convert(sys.argv[1])"
    reasons = {}
    for format in ("onnx", "tflite"):
        artifact = bundle.manifest.find("decoder", format, "float32")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, artifact.file)
            file.write_bytes(bundle.read(artifact))
            done = subprocess.run([python, "-c", code, file], capture_output=True, text=True)
        said = done.stderr.strip().splitlines()[-1] if done.returncode else "it is converted"
        reasons[format] = said.partition(". Please ")[0]  # not how to install what it takes
    return reasons
