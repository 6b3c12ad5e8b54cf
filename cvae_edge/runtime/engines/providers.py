"""onnxruntime's execution providers, by short name."""

from __future__ import annotations

from typing import Any

import onnxruntime as ort

from cvae_edge.errors import BundleError, ConfigError

CPU = "CPUExecutionProvider"
PROVIDERS = {
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
    "directml": "pip install onnxruntime-directml in place of onnxruntime",
}


def provider_name(short: str) -> str:
    """Return onnxruntime's name of the provider ``short``.

    Raises:
        ConfigError: this onnxruntime was built without it.
    """
    built = ort.get_available_providers()
    if PROVIDERS[short] not in built:
        here = [name for name, long in PROVIDERS.items() if long in built]
        how = f"; {_INSTALL[short]}" if short in _INSTALL else ""
        raise ConfigError(
            f"provider must be one that is here ({', '.join(here)}), got {short!r}{how}"
        )
    return PROVIDERS[short]


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
