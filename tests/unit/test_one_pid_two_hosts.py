"""Containers on one lake share pids and even host names: what another one is writing is never taken for a leftover of ours."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.process import OWNER, ProcessId, this_process
from nightrank.ranker.bundle.store import WRITING, stored
from nightrank.spark_jobs.sources.landing import LandingWriter

OURS = this_process()
OWNERS = {
    "another container with our host name and our pid": (replace(OURS, machine="another container"), True),
    "another host where our pid is free": (ProcessId("elsewhere", "another boot", 2**22 - 1, "1"), True),
    "a living process of ours": (OURS, True),
    "a process of ours whose pid another was given": (replace(OURS, started="1"), False),
    "a process of ours that is gone": (replace(OURS, pid=2**22 - 1), False),
}


@pytest.mark.parametrize("name", OWNERS)
def test_the_staging_of_an_import_is_swept_only_where_its_writer_is_known_to_be_gone(tmp_path, name):
    owner, stays = OWNERS[name]
    lake = Lake(tmp_path)
    staging = lake.landing("events").parent / ".import-0123456789ab"
    staging.mkdir()
    write_json(staging / OWNER, owner.to_json())
    (staging / "events-None-0.part").write_bytes(b"rows of another")
    with LandingWriter(lake, "test") as writer:
        assert writer._staging != staging
        assert staging.exists() is stays
    assert staging.exists() is stays


@pytest.mark.parametrize("name", OWNERS)
def test_a_bundle_under_way_is_swept_only_where_its_writer_is_known_to_be_gone(tmp_path, name):
    owner, stays = OWNERS[name]
    theirs = tmp_path / f"{WRITING}0123"
    theirs.mkdir()
    (theirs / "weights.safetensors").write_bytes(b"half of it")
    write_json(theirs.with_suffix(f".{OWNER}"), owner.to_json())
    assert stored(tmp_path, written) == "a-name"
    assert (tmp_path / "a-name" / "pid").read_text() == str(os.getpid())
    assert theirs.exists() is stays


def written(folder: Path) -> str:
    folder.mkdir()
    (folder / "pid").write_text(str(os.getpid()))
    return "a-name"


def test_staging_without_an_owner_yet_belongs_to_somebody(tmp_path):
    staging = Lake(tmp_path).landing("events").parent / ".import-0123456789ab"
    staging.mkdir()
    with LandingWriter(Lake(tmp_path), "test"):
        assert staging.exists()
