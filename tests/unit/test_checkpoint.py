import json
from functools import partial

import pytest
import torch

from nightrank.feature_store.contracts import fence as fences
from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts.errors import ConflictError, DataContractError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.trainer.loop.checkpoint import CheckpointFolder
from nightrank.trainer.loop.state import TrainState

MODEL = {"items.ids.weight": torch.arange(6.0).view(2, 3)}
OPTIMIZER = {"items.ids.weight/exp_avg": torch.ones(2, 3), "items.ids.weight/step": torch.tensor(4.0)}
FACTS = {"snapshot": "s", "items": 1}


def state_at(steps: int) -> TrainState:
    state = TrainState(phase="fit", total_steps=steps, step=steps)
    state.curve.loss.append(1 / 3)
    return state


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "run", keep_last=2)


def save(folder, steps):
    folder.save_running(state_at(steps), MODEL, OPTIMIZER, FACTS)


def test_what_was_saved_comes_back_bit_for_bit(folder):
    save(folder, 3)
    found = folder.newest()
    assert found.state == state_at(3)
    assert found.state.curve.loss == [1 / 3]
    assert found.facts == FACTS
    assert torch.equal(found.model["items.ids.weight"], MODEL["items.ids.weight"])
    assert {key: value.tolist() for key, value in found.optimizer.items()} == {k: v.tolist() for k, v in OPTIMIZER.items()}


def test_only_the_newest_two_stay_and_best_is_not_among_them(folder):
    folder.save("best-fit", state_at(1), MODEL, OPTIMIZER, FACTS)
    for steps in (1, 2, 30, 4):
        save(folder, steps)
    assert [name.split("-")[1] for name in folder.running()] == ["000000004", "000000030"]
    assert folder.has("best-fit")
    assert len(list(folder.path.glob("*.safetensors"))) == 3


@pytest.mark.parametrize("harm", ["truncate", "flip", "remove", "json"])
def test_a_torn_checkpoint_is_passed_over_with_a_note(folder, capsys, harm):
    save(folder, 1)
    save(folder, 2)
    name = folder.running()[-1]
    data = folder.path.glob(f"{name}-*.safetensors")[0].path
    if harm == "truncate":
        data.write_bytes(data.read_bytes()[:-8])
    elif harm == "flip":
        data.write_bytes(data.read_bytes()[:-1] + b"\xff")
    elif harm == "remove":
        data.unlink()
    else:
        (folder.path / f"{name}.json").write_text('{"schema": 1, "na')
    assert folder.newest().state.total_steps == 1
    assert name in capsys.readouterr().err


def test_tensors_without_their_json_do_not_count(folder):
    save(folder, 1)
    save(folder, 2)
    (folder.path / f"{folder.running()[-1]}.json").unlink()
    assert folder.newest().state.total_steps == 1


def test_an_empty_folder_has_nothing_to_resume_from(folder):
    assert folder.newest() is None


def test_a_checkpoint_of_another_schema_is_named(folder):
    folder.save("live", state_at(1), MODEL, OPTIMIZER, FACTS)
    path = folder.path / "live.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(DataContractError, match="schema 99"):
        folder.load("live")


def test_saving_under_a_name_again_replaces_it(folder):
    folder.save("best-fit", state_at(1), MODEL, OPTIMIZER, FACTS)
    folder.save("best-fit", state_at(9), {"items.ids.weight": torch.zeros(2, 3)}, {}, FACTS)
    found = folder.load("best-fit")
    assert (found.state.total_steps, found.optimizer, float(found.model["items.ids.weight"].sum())) == (9, {}, 0.0)
    assert len(list(folder.path.glob("*.safetensors"))) == 1


def test_writing_and_reading_a_checkpoint_give_signs_of_life(tmp_path):
    signs: list[int] = []
    folder = CheckpointFolder(tmp_path / "run", moved=lambda: signs.append(1))
    save(folder, 1)
    assert len(signs) >= len(MODEL) + len(OPTIMIZER)
    signs.clear()
    folder.newest()
    assert signs


def test_a_training_that_was_superseded_changes_no_checkpoint_of_the_newer_one(tmp_path):
    lake = Lake(tmp_path / "lake")
    leases.acquire(lake, "night").release()
    old = CheckpointFolder(tmp_path / "run", keep_last=2, commit=partial(fences.commit, lake, "night", 1))
    save(old, 1)
    assert leases.acquire(lake, "night").fence == 2
    new = CheckpointFolder(tmp_path / "run", keep_last=2, commit=partial(fences.commit, lake, "night", 2))
    for steps in (2, 3):
        save(new, steps)
    before = {path.name: path.read_bytes() for path in old.path.children()}
    for steps in (3, 4):  # the name that stands there, and one of its own
        with pytest.raises(ConflictError, match="run night \\(fence 1\\) was superseded"):
            save(old, steps)
    with pytest.raises(ConflictError):
        old.save("live", state_at(5), MODEL, OPTIMIZER, FACTS)
    assert {path.name: path.read_bytes() for path in old.path.children()} == before
    assert new.newest().state == state_at(3)


def test_one_that_is_superseded_while_it_writes_its_tensors_takes_them_away_and_leaves_the_newer_ones(tmp_path):
    lake = Lake(tmp_path / "lake")
    leases.acquire(lake, "night").release()
    new = CheckpointFolder(tmp_path / "run", commit=partial(fences.commit, lake, "night", 2))

    def superseded(*_):
        if leases.records.read(lake)[0].fence == 1:
            leases.acquire(lake, "night")
            save(new, 3)

    old = CheckpointFolder(tmp_path / "run", moved=superseded, commit=partial(fences.commit, lake, "night", 1))
    with pytest.raises(ConflictError):
        save(old, 3)
    assert new.newest().state == state_at(3)
    assert len(list(new.path.glob("*.safetensors"))) == 1
