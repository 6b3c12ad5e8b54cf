"""Keras files from elsewhere, opened without running code of theirs."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
from keras import layers, tree

from cvae_edge.architectures.vae import reason
from cvae_edge.errors import ConfigError, DataError
from cvae_edge.quiet import quiet

_ENDINGS = (".keras", ".h5", ".hdf5")


class Placeholder(layers.Layer):  # type: ignore[misc]
    """Stands for a layer of an unknown class, which must be cut off before anything is computed."""

    def __init__(self, name: str | None = None, **unknown: Any) -> None:
        super().__init__(name=name)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Pass on the first tensor, so that the model around it can be built."""
        return tree.flatten((args, kwargs))[0]


def load_model(path: Path, architecture: keras.Model | None = None) -> keras.Model:
    """Load a model from a .keras file, a whole model's .h5, or weights alone.

    Args:
        path: the file.
        architecture: the model that weights alone belong to; its own weights are replaced.

    Raises:
        DataError: it is not there, no Keras file, damaged, or of a newer Keras.
        ConfigError: it holds a Lambda layer; or weights alone, and there is no architecture, or
            another one's.
    """
    if not path.is_file():
        raise DataError(f"{path} is {'no file' if path.exists() else 'not there'}")
    if path.suffix not in _ENDINGS:
        raise DataError(f"{path} must end in {', '.join(_ENDINGS)}: a Keras model, or its weights")
    config, version = _read_config(path)
    if config is None:
        return _load_weights(path, architecture)
    unknown: dict[str, type[Placeholder]] = {}
    for name, class_name, registered in _layers(config):
        if class_name == "Lambda":
            raise ConfigError(
                f"{path} holds the Lambda layer {name}, which would run code from the file: "
                "replace it by a layer of Keras"
            )
        if not _is_known(class_name, registered):
            placeholder = type(class_name, (Placeholder,), {})
            unknown |= {class_name: placeholder, registered: placeholder}
    try:
        with quiet():
            return keras.models.load_model(path, unknown, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever a layer's constructor raises
        newer = version is not None and _numbers(version) > _numbers(keras.__version__)
        why = f"it is of Keras {version}, this is {keras.__version__}: " if newer else ""
        raise DataError(
            f"{path} cannot be loaded as a Keras model: {why}{reason(error)}"
        ) from error


def require_known_layers(model: keras.Model) -> None:
    """Raise ConfigError, naming it, if a layer of an unknown class is left in a model."""
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, Placeholder):
            raise ConfigError(
                f"the {model.name} has the layer {layer.name} of the class {type(layer).__name__}, "
                "which Keras does not have: import it in Python with "
                "keras.saving.register_keras_serializable, then call import_models"
            )


def _load_weights(path: Path, architecture: keras.Model | None) -> keras.Model:
    if architecture is None:
        raise ConfigError(f"{path} holds weights alone: give the --preset that they belong to")
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the error says as well
            architecture.load_weights(path)
    except Exception as error:  # as above
        raise ConfigError(
            f"the weights of {path} must be those of the preset's {architecture.name}: "
            f"{reason(error)}"
        ) from error
    return architecture


def _read_config(path: Path) -> tuple[Any, str | None]:
    """Return a whole model's configuration and its Keras' version; None for weights alone."""
    try:
        if path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                version = json.loads(archive.read("metadata.json")).get("keras_version")
                return json.loads(archive.read("config.json")), version
        import h5py  # type: ignore[import-untyped]

        with h5py.File(path, "r") as file:
            text, version = file.attrs.get("model_config"), file.attrs.get("keras_version")
            return (json.loads(text) if text else None), version
    except (OSError, ValueError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read as a Keras file: {reason(error)}") from error


def _layers(config: Any) -> Iterator[tuple[str, str, str]]:
    """Yield name, class and registered class of every layer in a configuration, however deep."""
    if isinstance(config, list):
        for entry in config:
            yield from _layers(entry)
    elif isinstance(config, dict):
        inner = config.get("config")
        if "class_name" in config and isinstance(inner, dict) and "name" in inner:
            class_name = str(config["class_name"])
            yield str(inner["name"]), class_name, str(config.get("registered_name") or class_name)
        for value in config.values():
            yield from _layers(value)


def _is_known(class_name: str, registered: str) -> bool:
    """Whether Keras has the class, or this process registered it."""
    if hasattr(layers, class_name) or class_name in ("Functional", "Sequential", "Model"):
        return True
    # Operations on tensors, such as a sum of two, are saved by their class' name.
    operations = vars(keras.src.ops.numpy) | vars(keras.src.ops.nn)
    return class_name in operations or keras.saving.get_registered_object(registered) is not None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in str(version).split(".")[:2] if part.isdigit())
