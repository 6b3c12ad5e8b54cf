"""The zoo's models as int8 TFLite files."""

from __future__ import annotations

import keras
from zoo import inputs

from cvae_edge.exporters.passes.fold import fold
from cvae_edge.exporters.passes.lower import lower
from cvae_edge.exporters.passes.normalize import normalize
from cvae_edge.exporters.passes.quantize import mark, marked, observe
from cvae_edge.exporters.targets import TARGETS


def int8_file(model: keras.Model, lowering: str = "polyphase") -> bytes:
    """Return a model's int8 TFLite file, its ranges those of random inputs."""
    target, network = TARGETS["tflite"], fold(normalize(model))
    observed = observe(network, inputs(network, 30))
    names = marked(network, target.schemes["int8"])
    ranges = {
        name: (min(0.0, float(v.min())), max(0.1, float(v.max())))
        for name, v in observed.items()
        if name in names
    }
    return target.emit(lower(mark(network, ranges)[0], lowering), "int8").content
