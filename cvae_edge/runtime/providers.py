"""What ONNX files can run on, by short name: onnxruntime's execution providers, and OpenVINO."""

from __future__ import annotations

import importlib.util
from typing import Any

import onnxruntime as ort

from cvae_edge.errors import BundleError, ConfigError
from cvae_edge.model_config import require

CPU = "CPUExecutionProvider"
PROVIDERS = {  # onnxruntime's
    "cpu": CPU,
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
    "xnnpack": "XnnpackExecutionProvider",
}
_INSTALL = {
    "cuda": "pip install onnxruntime-gpu in place of onnxruntime",
    "tensorrt": "pip install onnxruntime-gpu in place of onnxruntime, and TensorRT",
    "openvino": "pip install 'cvae-edge[openvino]'",
    "directml": "pip install onnxruntime-directml in place of onnxruntime",
}


def provider_name(short: str) -> str:
    """Return onnxruntime's name of the provider ``short``, or OpenVINO's.

    Raises:
        ConfigError: it is unknown, not installed, or this onnxruntime was built without it.
    """
    names = (*PROVIDERS, "openvino")
    require(short in names, f"provider must be one of {', '.join(names)}", repr(short))
    if short not in _here():
        raise not_here(short)
    return PROVIDERS.get(short, "OpenVINO")


def not_here(short: str) -> ConfigError:
    """Return the error that says which providers are here, and how to get ``short``."""
    how = f"; {_INSTALL[short]}" if short in _INSTALL else ""
    return ConfigError(
        f"provider must be one that is here ({', '.join(_here())}), got {short!r}{how}"
    )


def _here() -> list[str]:
    built = ort.get_available_providers()
    here = [short for short, name in PROVIDERS.items() if name in built]
    # Not onnxruntime's provider of that name: with it an int8 decoder took twice the time.
    return [*here, "openvino"] if importlib.util.find_spec("openvino") else here


def check_provider(session: Any, short: str, file: str) -> None:
    """Raise unless ``session`` runs on the provider that was asked for.

    onnxruntime prints a line and goes on with the CPU where a provider's libraries or device are
    missing; a benchmark, or a person who waits, would never know.

    Raises:
        BundleError: it fell back to another.
    """
    got = session.get_providers()
    if got[:1] != [PROVIDERS[short]]:
        raise BundleError(
            f"{file} must run on {short}, but onnxruntime could not start it and fell back to "
            f"{', '.join(got) or 'nothing'}: install its driver and libraries, or choose cpu"
        )
