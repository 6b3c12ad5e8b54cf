"""Run damaged models whose hashes are right: python fuzz_models.py BUNDLE FILE CASES SEED.

A process of its own, because onnxruntime and LiteRT are C++: what they do not refuse may end it.
Prints how many cases ran and how many were refused; after a crash, stderr ends with the case.
"""

from __future__ import annotations

import hashlib
import json
import random
import sys
import warnings
from pathlib import Path

import numpy as np

from cvae_edge import EdgeCVAE
from cvae_edge.errors import CvaeEdgeError
from cvae_edge.manifest import MANIFEST, digest


def damage(content: bytes, rng: random.Random) -> bytes:
    """Change, cut out or double a few bytes, more often near the ends, where structure lies."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        where = rng.randrange(len(damaged))
        if rng.random() < 0.3:
            where = min(where, rng.randrange(200))
        elif rng.random() < 0.4:
            where = max(where, len(damaged) - rng.randrange(1, 600))
        kind = rng.random()
        if kind < 0.7:
            damaged[where] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind < 0.85 and len(damaged) > 10:
            del damaged[where : where + rng.randrange(1, 9)]
        else:
            damaged[where:where] = damaged[where : where + rng.randrange(1, 9)]
    return bytes(damaged[: rng.randrange(1, len(damaged))] if rng.random() < 0.05 else damaged)


def main(bundle: Path, file: str, cases: int, seed: int) -> None:
    files = {path.name: path.read_bytes() for path in bundle.iterdir()}
    manifest = json.loads(files[MANIFEST])
    entry = next(a for a in manifest["artifacts"] if a["file"] == file)
    refused = 0
    warnings.simplefilter("ignore", RuntimeWarning)  # damaged weights may overflow
    for case in range(cases):
        sys.stderr.write(f"\n{file} case {case}")
        sys.stderr.flush()
        content = damage(files[file], random.Random(f"{seed} {case}"))
        entry |= {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": len(content)}
        signed = json.dumps({**manifest, "digest": digest(manifest)}).encode()
        given = {**files, file: content, MANIFEST: signed}
        try:
            model = EdgeCVAE.load(
                given, format=entry["format"], precision=entry["precision"], threads=1
            )
            x = model.generate(2)
            model.encode(np.zeros((2, 8, 8)))
            assert x.dtype == np.float32
        except CvaeEdgeError:
            refused += 1
    print(json.dumps({"cases": cases, "refused": refused}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
