"""What a bundle's file may make an engine do, found out from its bytes before one opens it.

A right hash says that a file is the manifest's, not that it is harmless. A file that is not trusted
has operators of a list alone, none of which runs a graph of its own or reads a file; all of its
constants are in it; and its tensors and its work are bounded by the size of the model's images.
"""

from __future__ import annotations

from cvae_edge.errors import BundleError
from cvae_edge.model_config import ModelShape


def check_graph(file: str, format: str, content: bytes, model: ModelShape, trusted: bool) -> None:
    """Refuse a file that reads other files and, unless it is trusted, one that may do harm.

    Args:
        file: its name, for messages.
        format: of the file; other formats than onnx and tflite are not looked at.
        content: its bytes.
        model: what the manifest says of the model.
        trusted: whether operators and sizes pass unlooked at.

    Raises:
        BundleError: it is refused.
    """
    try:
        if format == "onnx":
            from cvae_edge.guard.onnx import check_onnx

            check_onnx(content, model, trusted)
        elif format == "tflite":
            from cvae_edge.guard.tflite import check_tflite

            check_tflite(content, model, trusted)
    except Exception as error:  # a parser of anyone's bytes may raise anything
        reason = str(error) if isinstance(error, ValueError) else f"it is damaged, {error!r}"
        raise BundleError(
            f"{file} is refused before it is run: {reason}; run it with --trust, or trust=True, if "
            "you know who made it"
        ) from error
