"""Bundles on the Hugging Face Hub; the extra ``hub`` installs what it takes.

A repository there holds a bundle's files as they are. HF_TOKEN and HF_ENDPOINT are read as
huggingface_hub documents them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cvae_edge.bundle import Bundle, new_bundle
from cvae_edge.errors import BundleError, CvaeEdgeError, DependencyError
from cvae_edge.regular_files import read_regular
from cvae_edge.writing import write_bytes


def push_bundle(bundle: Bundle, repository: str, *, private: bool = False) -> str:
    """Put every file of a bundle into a repository, in one commit; return the commit's address.

    Args:
        bundle: an opened one; each file is checked as it is read.
        repository: OWNER/NAME; it is made where it is not there.
        private: of a new repository.

    Raises:
        DependencyError: huggingface_hub is not installed.
        BundleError: a file is damaged, or the hub refuses.
    """
    hub = _import_hub()
    with _refusals(repository):
        api = hub.HfApi(library_name="cvae-edge")
        api.create_repo(repository, private=private, exist_ok=True)
        operations = [hub.CommitOperationAdd(name, file) for name, file in bundle.contents()]
        message = f"{bundle.manifest.name}, by cvae-edge"
        return str(api.create_commit(repository, operations, commit_message=message).commit_url)


def pull_bundle(repository: str, out: Path, *, revision: str | None = None) -> Bundle:
    """Make a bundle of a repository's files, each checked, in one step; return it opened.

    Args:
        repository: OWNER/NAME.
        out: the bundle's folder; a bundle that is there is replaced.
        revision: a branch, tag or commit; None for the newest.

    Raises:
        DependencyError: huggingface_hub is not installed.
        BundleError: the repository cannot be read or holds no whole bundle; or ``out`` is taken.
    """
    hub = _import_hub()
    with tempfile.TemporaryDirectory() as cache, _refusals(repository):

        def read(name: str, most: int) -> bytes:
            path = hub.hf_hub_download(repository, name, revision=revision, local_dir=cache)
            return read_regular(Path(path), most)

        # What else lies in the repository is not fetched.
        contents = list(Bundle.from_reader(read, repository).contents())
    with new_bundle(out) as folder:
        for name, content in contents:
            write_bytes(folder / name, content)
    return Bundle.open(out)


def _import_hub() -> Any:
    try:
        import huggingface_hub
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise DependencyError(
            "the Hugging Face Hub needs huggingface_hub, which is not installed: "
            "pip install 'cvae-edge[hub]'"
        ) from error
    disable_progress_bars()  # a bundle is small
    return huggingface_hub


@contextmanager
def _refusals(repository: str) -> Iterator[None]:
    """Say what the hub or the way to it refused."""
    try:
        yield
    except CvaeEdgeError:
        raise
    except Exception as error:  # errors of huggingface_hub and of its HTTP library share no base
        reason = str(error).strip().splitlines()
        raise BundleError(
            f"{repository}: {reason[0] if reason else type(error).__name__}"
        ) from error
