"""A card says what it is given, in the Hugging Face Hub's form, and nothing of the machine."""

from __future__ import annotations

import json

import pytest
from conftest import DATA

from cvae_edge.errors import ConfigError
from cvae_edge.exporters.card import write_card
from cvae_edge.exporters.card_details import CardDetails, read_card_details
from cvae_edge.runtime.source import open_bundle


@pytest.fixture(scope="module")
def manifest():
    manifest = open_bundle(DATA / "tiny").manifest
    data = {**manifest.training["data"], "source": "/home/somebody/secret/photos"}
    return manifest._replace(
        training={**manifest.training, "data": data},
        report={"notes": [], "failures": {}, **manifest.report},
    )


def test_fields_of_a_file_stand_in_the_card(manifest, tmp_path):
    (tmp_path / "card.toml").write_text(
        'license = "apache-2.0"\nversion = "1.2"\nlimits = "Dim."\n'
    )
    details = read_card_details(tmp_path / "card.toml")
    assert details == CardDetails(license="apache-2.0", version="1.2", limits="Dim.")
    write_card(tmp_path, manifest, ["original"], details)
    card = (tmp_path / "README.md").read_text()
    assert "## Limits\n\nDim.\n" in card
    assert "## Version\n\n1.2\n" in card
    assert "## Intended use" not in card
    assert "somebody" not in card
    _, front, _ = card.split("---\n", 2)
    fields = {k: json.loads(v) for k, v in (line.split(": ", 1) for line in front.splitlines())}
    assert fields["license"] == "apache-2.0"
    (result,) = fields["model-index"][0]["results"]
    assert result["dataset"]["name"] == "photos"
    assert result["metrics"][0]["value"] == round(manifest.report["trained_elbo"], 3)


@pytest.mark.parametrize("text", ["licence = 'mit'", "license = 3", "license", "\0"])
def test_a_file_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "card.toml").write_text(text)
    with pytest.raises(ConfigError, match="license|cannot be read"):
        read_card_details(tmp_path / "card.toml")
