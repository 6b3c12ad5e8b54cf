"""Train a convolutional VAE, export it to ONNX and TFLite, run it with numpy and onnxruntime."""

from typing import TYPE_CHECKING, Any

from cvae_edge.version import __version__

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
