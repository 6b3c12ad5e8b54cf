"""The exporting side: from a finished run to a bundle. Imports TensorFlow."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cvae_edge.exporters.export import ExportResult as ExportResult
    from cvae_edge.exporters.export import export_bundle as export_bundle

__all__ = ["ExportResult", "export_bundle"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from cvae_edge.exporters import export

        return getattr(export, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
