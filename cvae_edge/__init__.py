"""Train a convolutional VAE, export it to ONNX and TFLite, run it with numpy and onnxruntime."""

import os
from typing import TYPE_CHECKING, Any

from cvae_edge.version import __version__

# From 1.29 on onnxruntime reports to Microsoft, and writes an identifier of the machine into the
# home folder. It reads this once, as it is first imported; a user's own setting stands.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from cvae_edge.runtime.model import EdgeCVAE as EdgeCVAE
    from cvae_edge.runtime.posterior import Posterior as Posterior

__all__ = ["EdgeCVAE", "Posterior", "__version__"]


def __getattr__(name: str) -> Any:
    # numpy alone takes a tenth of a second to import; whoever asks only for the version, or for
    # the command line's help, does not wait for it.
    if name == "EdgeCVAE":
        from cvae_edge.runtime.model import EdgeCVAE

        return EdgeCVAE
    if name == "Posterior":
        from cvae_edge.runtime.posterior import Posterior

        return Posterior
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
