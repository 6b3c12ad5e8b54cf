"""What a bundle's card says that no measurement can: license, data, use and limits."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cvae_edge.errors import ConfigError
from cvae_edge.manifest import Manifest
from cvae_edge.model_config import require

_TASK = "unconditional-image-generation"


@dataclass(frozen=True)
class CardDetails:
    """Fields of a model card (Mitchell et al. 2019, "Model Cards for Model Reporting")."""

    license: str | None = None  # an identifier of the Hugging Face Hub, such as apache-2.0
    version: str | None = None
    date: str | None = None  # as 2026-11-28
    data: str | None = None
    intended_use: str | None = None
    limits: str | None = None


def read_card_details(path: Path) -> CardDetails:
    """Read a TOML file with some of the fields, each a string.

    Raises:
        ConfigError: it cannot be read, or has another field.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    known = [field.name for field in fields(CardDetails)]
    wrong = [name for name in found if name not in known or not isinstance(found[name], str)]
    require(
        not wrong,
        f"a card's fields are the strings {', '.join(known)}",
        ", ".join(wrong),
    )
    return CardDetails(**found)


def front_matter(manifest: Manifest, details: CardDetails) -> list[str]:
    """Return the lines of YAML that begin a model card on the Hugging Face Hub.

    See https://huggingface.co/docs/hub/model-cards; every value is JSON, which YAML includes.
    """
    measured = {
        "task": {"type": _TASK},
        "dataset": {"name": data_name(manifest), "type": data_name(manifest)},
        "metrics": [
            {
                "type": "elbo",
                "name": f"ELBO on {manifest.report['images']} test images, nats an image",
                "value": round(manifest.report["trained_elbo"], 3),
            }
        ],
    }
    entries: dict[str, Any] = {
        "license": details.license,
        "library_name": "cvae-edge",
        "pipeline_tag": _TASK,
        "tags": sorted({"vae", *(a.format for a in manifest.artifacts)}),
        "model-index": [{"name": manifest.name, "results": [measured]}],
    }
    lines = [f"{k}: {json.dumps(v)}" for k, v in entries.items() if v is not None]
    return ["---", *lines, "---", ""]


def data_name(manifest: Manifest) -> str:
    """Return what the model was trained on, without the folders of the training machine."""
    return Path(manifest.training["data"]["source"]).name


def detail_sections(details: CardDetails) -> list[str]:
    """Return the lines of the card's sections that are given."""
    sections = {
        "Version": ", ".join(filter(None, (details.version, details.date))),
        "License": details.license,
        "Data": details.data,
        "Intended use": details.intended_use,
        "Limits": details.limits,
    }
    given = {head: text for head, text in sections.items() if text}
    return [line for head, text in given.items() for line in (f"## {head}", "", text, "")]
