import pytest
import torch

from nightrank.feature_store.contracts.errors import DataContractError, NightrankError
from nightrank.trainer.ranks.communicator import SingleProcess, broadcast_object, raise_if_any_failed, run_on_all_ranks
from nightrank.trainer.ranks.faults import DivergedError, fault_from_json
from tests.thread_world import on_ranks


def test_one_process_is_a_world_of_size_one():
    world = SingleProcess()
    tensor = torch.tensor([1.0, 2.0])
    world.allreduce_sum(tensor)
    world.broadcast([tensor])
    assert (world.rank, world.size, world.gather({"a": (1, 2)})) == (0, 1, [{"a": [1, 2]}])
    assert tensor.tolist() == [1.0, 2.0]


def test_a_fault_of_one_rank_is_raised_on_all_with_its_kind_and_rank():
    def work(world):
        fault = DataContractError("file x is torn", "mend it") if world.rank == 1 else None
        raise_if_any_failed(world, fault)

    errors = on_ranks(3, work)
    assert [type(error) for error in errors] == [DataContractError] * 3
    assert {error.message for error in errors} == {"rank 1 of 3: file x is torn"}
    assert {error.remedy for error in errors} == {"mend it"}


def test_together_returns_each_ranks_own_value_when_all_are_well():
    assert on_ranks(2, lambda world: run_on_all_ranks(world, lambda: world.rank * 10)) == [0, 10]


def test_rank_0_decides_and_the_others_are_told():
    calls = []

    def decide(world):
        return broadcast_object(world, lambda: calls.append(world.rank) or {"stop": True})

    assert on_ranks(3, decide) == [{"stop": True}] * 3
    assert calls == [0]


def test_a_fault_of_the_deciding_rank_reaches_the_others():
    def decide(world):
        def fail():
            raise DivergedError("no number")

        return broadcast_object(world, fail)

    assert [type(error) for error in on_ranks(2, decide)] == [DivergedError] * 2


@pytest.mark.parametrize("error", [DataContractError("m", "r"), DivergedError("m", "r"), NightrankError("m", "r")])
def test_a_fault_survives_json(error):
    back = fault_from_json(error.to_json())
    assert (type(back), back.message, back.remedy, back.exit_code) == (type(error), "m", "r", error.exit_code)
