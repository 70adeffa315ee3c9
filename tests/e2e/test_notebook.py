"""docs/notebooks/first-lists.ipynb runs as it stands, and its last cells hold real lists and figures."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import install
from nbclient import NotebookClient

from nightrank import IMPORT_PATH
from nightrank.feature_store.contracts.stage import RUN_DIR

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "first-lists.ipynb"

pytestmark = [pytest.mark.e2e, pytest.mark.night, pytest.mark.timeout(900)]


def test_the_notebook_ends_with_a_list_for_every_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(prefix=str(tmp_path), kernel_name="python3")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(IMPORT_PATH), *sys.path]))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv(RUN_DIR, raising=False)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "commit the notebook without outputs"
    probe = "print(len(set(lists['user_id'])), figures['recommender'].nunique(), fitted.result['status'])"
    notebook.cells.append(nbformat.v4.new_code_cell(probe))
    NotebookClient(notebook, timeout=800, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    users, recommenders, status = notebook.cells[-1].outputs[-1]["text"].split()
    assert (int(users), status) == (80, "done") and int(recommenders) >= 4
