"""Checkpoints written beside the training: of one moment, one at a time, and no fault is lost."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from nightrank.feature_store.contracts.errors import DependencyUnreachable
from nightrank.feature_store.contracts.failpoints import VARIABLE
from nightrank.trainer.loop.checkpoint import CheckpointFolder
from nightrank.trainer.loop.writer import Writer
from nightrank.trainer.worker.phases import FIT, build_phase, train
from tests.training_jobs import job_of, small_lake, training_of

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root, users=120)


def test_what_is_written_are_the_values_of_the_save_though_steps_go_on(lake, monkeypatch):
    root, snapshot = lake
    training = training_of(job_of(root, snapshot, run_id="beside"))
    phase = build_phase(training, FIT)
    batches, may_write = phase.source.batches(0, 0), threading.Event()
    write_file = CheckpointFolder.write_file

    def held_back(self, *arguments):
        assert may_write.wait(30)
        return write_file(self, *arguments)

    monkeypatch.setattr(CheckpointFolder, "write_file", held_back)
    before = {name: value.clone() for name, value in training.ranker.state_dict().items()}
    training.save_running(beside=True)
    report = phase.step(batches, 0, 1e-2)
    training.state.advance(report.loss, 1e-2, report.rows, report.tokens)
    may_write.set()
    training.finish_writing()
    found = training.folder.newest()
    assert found.state.total_steps == 0 and found.state.curves == {}
    assert all(torch.equal(found.model[name], value) for name, value in before.items())
    assert any(not torch.equal(training.ranker.state_dict()[name], value) for name, value in before.items())


def test_a_fault_of_a_write_ends_the_training_and_the_checkpoint_before_counts(lake, monkeypatch):
    root, snapshot = lake
    training = training_of(job_of(root, snapshot, {"checkpoint": {"every_steps": 2}}, run_id="no-room"))
    stock = CheckpointFolder._write

    def no_room(self, data, tensors):
        if "000000004" in data.name:
            raise OSError(28, "No space left on device")
        return stock(self, data, tensors)

    monkeypatch.setattr(CheckpointFolder, "_write", no_room)
    with pytest.raises(DependencyUnreachable, match="finds no room"):
        train(training)
    assert training.state.total_steps <= 6
    assert [training.folder.load(name).state.total_steps for name in training.folder.running()] == [2]


def test_the_copies_are_used_again_and_a_write_waits_for_the_one_before():
    writer, order, go = Writer(), [], threading.Event()
    first = writer.copied({"a": torch.ones(3)})["a"]
    writer.start(lambda: (go.wait(30), order.append(first.clone())))
    writer.check()
    assert order == []
    threading.Timer(0.1, go.set).start()
    writer.finish(lambda: None)
    assert order[0].tolist() == [1.0] * 3
    assert writer.copied({"a": torch.zeros(3)})["a"] is first


@pytest.mark.parametrize("place", ["train.checkpoint.before", "train.checkpoint.half"])
def test_killed_in_the_middle_of_a_write_the_commit_before_counts_and_the_training_goes_on_from_it(tmp_path, place):
    job = job_of(tmp_path, small_lake(tmp_path, users=60), {"checkpoint": {"every_steps": 2}}, run_id="killed")
    job.save()
    command = [sys.executable, "-m", "nightrank.trainer.worker.main", "--job", str(job.path), "--single"]
    killed = subprocess.run(command, cwd=PROJECT, env={**os.environ, VARIABLE: place}, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert CheckpointFolder(job.checkpoints).running() == [], "the first checkpoint was not committed"
    done = subprocess.run(command, cwd=PROJECT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
