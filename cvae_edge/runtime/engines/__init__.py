"""Engines: what runs a bundle's files. An engine is one module and one entry here."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from cvae_edge.errors import ConfigError, DependencyError
from cvae_edge.model_config import require

if TYPE_CHECKING:
    from cvae_edge.codec import Graph
    from cvae_edge.manifest import Artifact


class Engine(NamedTuple):
    """A runtime: the files it runs, what a user calls it, and where its code is.

    Its module has ``open_session(artifact, content, threads, provider)``, which returns a ``Graph``
    and raises BundleError if the file cannot be opened, or its tensors are not the manifest's; and
    perhaps ``provider_name(provider)``, which raises ConfigError if a provider is not here.
    """

    name: str
    format: str  # of the files
    providers: tuple[str, ...]  # short names with which a user asks for it
    module: str
    packages: tuple[str, ...]  # distributions; one of them will do
    install: str  # how to get it


ENGINES: dict[str, Engine] = {}
SOURCES = {  # formats that are compiled and not run here, and what does that
    "c": "C is compiled for a device: cvae-edge kit microcontroller makes a project of the bundle, "
    "and its make check compares integers",
}
_ONNX_PROVIDERS = ("cpu", "cuda", "tensorrt", "coreml", "directml", "xnnpack")


def register(engine: Engine) -> None:
    """Add an engine, or replace the one of its name."""
    ENGINES[engine.name] = engine


for _engine in (
    Engine("onnxruntime", "onnx", _ONNX_PROVIDERS, f"{__name__}.onnxruntime",
           ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml"), "pip install onnxruntime"),
    Engine("OpenVINO", "onnx", ("openvino",), f"{__name__}.openvino", ("openvino",),
           "pip install 'cvae-edge[openvino]'"),
    Engine("LiteRT", "tflite", ("cpu",), f"{__name__}.litert",
           ("ai-edge-litert", "tflite-runtime"), "pip install 'cvae-edge[litert]'"),
):  # fmt: skip
    register(_engine)


def known_formats() -> tuple[str, ...]:
    """Return every format that some engine runs."""
    return tuple(dict.fromkeys(engine.format for engine in ENGINES.values()))


def known_providers() -> tuple[str, ...]:
    """Return every provider that some engine has."""
    return tuple(dict.fromkeys(p for engine in ENGINES.values() for p in engine.providers))


def is_served(format: str, provider: str) -> bool:
    """Whether some engine runs files of a format on a provider."""
    return any(e.format == format and provider in e.providers for e in ENGINES.values())


def find_engine(format: str, provider: str = "cpu") -> Engine:
    """Return the engine for files of a format on a provider, whether or not it is installed.

    Raises:
        ConfigError: there is no such engine.
    """
    if format in SOURCES:
        raise ConfigError(SOURCES[format])
    of_format = [engine for engine in ENGINES.values() if engine.format == format]
    for engine in of_format:
        if provider in engine.providers:
            return engine
    formats, providers = ", ".join(known_formats()), ", ".join(known_providers())
    require(bool(of_format), f"format must be one of {formats}", f"{format!r}: install a newer one")
    require(provider in known_providers(), f"provider must be one of {providers}", repr(provider))
    first = of_format[0]
    raise ConfigError(
        f"{first.name} runs on the provider {first.providers[0]} alone, got {provider!r}"
    )


def is_installed(engine: Engine) -> bool:
    """Whether one of its packages is there."""
    modules = (package.replace("-", "_") for package in engine.packages)
    return any(importlib.util.find_spec(module) for module in modules)


def version(engine: Engine) -> str:
    """Return the version of what was imported for an engine; nothing where it does not say."""
    modules = (sys.modules.get(package.replace("-", "_")) for package in engine.packages)
    versions = (getattr(module, "__version__", "") for module in modules)
    return next((str(v) for v in versions if v), "")


def load_engine(format: str, provider: str = "cpu") -> Any:
    """Return the module that runs files of a format on a provider.

    Raises:
        ConfigError: no engine runs the format on that provider, or the provider is not here.
        DependencyError: the engine is not installed.
    """
    engine = find_engine(format, provider)
    if not is_installed(engine):
        raise DependencyError(
            f"{format} files on the provider {provider} need {engine.name}, which is not "
            f"installed: {engine.install}"
        )
    try:
        module: Any = importlib.import_module(engine.module)
    except ImportError as error:  # a library of the system that is missing, say
        raise DependencyError(f"{engine.name} cannot be imported: {error}") from error
    if hasattr(module, "provider_name"):
        module.provider_name(provider)
    return module


def open_session(
    artifact: Artifact, content: bytes, threads: int | None = None, provider: str = "cpu"
) -> Graph:
    """Open an artifact from its bytes.

    Args:
        artifact: its entry in the manifest.
        content: the file, as ``Bundle.read`` returns it.
        threads: how many the engine may use; None leaves it the choice.
        provider: what it runs on, by short name.

    Raises:
        ConfigError: no engine runs the format on that provider.
        DependencyError: the engine is not installed.
        BundleError: the engine cannot open the file, or its tensors are not the manifest's.
    """
    module = load_engine(artifact.format, provider)
    session: Graph = module.open_session(artifact, content, threads, provider)
    return session
