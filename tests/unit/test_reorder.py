"""Reordered histories: neighbours change places, rows keep their events, what is asked for stays asked for."""

import math

import pytest
import torch

from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import LossConfig, RankerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.reorder import reordered

LONG = 40


def histories(loss_from=(1, 1, 1, 5)):
    lengths = (LONG, 1, 2, 12)
    items = [[100 * row + place + 1 for place in range(length)] for row, length in enumerate(lengths)]
    actions = [[item % 7 for item in row] for row in items]
    times = [[10 * place for place in range(length)] for length in lengths]
    return Batch.from_lists(items, actions, times, loss_from)


def rows(values, batch):
    return [part.tolist() for part in values.split(batch.lengths.tolist())]


@pytest.mark.parametrize("places", [1.5, 2.0, 3.0])
def test_an_event_moves_by_less_than_so_many_places_and_stays_in_its_row(places):
    torch.manual_seed(1)
    batch, seen = histories(), set()
    for _ in range(50):
        mixed = reordered(batch, places)
        for was, now in zip(rows(batch.items_T, batch), rows(mixed.items_T, batch), strict=True):
            assert sorted(now) == was
            seen |= {now.index(item) - place for place, item in enumerate(was)}
    assert seen == set(range(1 - math.ceil(places), math.ceil(places)))


def test_actions_go_with_their_items_and_times_stay():
    torch.manual_seed(1)
    batch = histories()
    mixed = reordered(batch, 3.0)
    assert not torch.equal(mixed.items_T, batch.items_T)
    assert torch.equal(mixed.actions_T, mixed.items_T % 7)
    assert torch.equal(mixed.times_T, batch.times_T)
    assert torch.equal(mixed.offsets_B1, batch.offsets_B1)


def test_no_event_crosses_the_border_between_what_is_given_and_what_is_asked():
    torch.manual_seed(1)
    batch = histories()
    for _ in range(50):
        *_, last = rows(reordered(batch, 4.0).items_T, batch)
        assert sorted(last[:5]) == [301, 302, 303, 304, 305]


@pytest.mark.parametrize("places", [0.0, 0.7, 1.0])
def test_up_to_one_place_nothing_moves_and_nothing_is_drawn(places):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    batch = histories()
    assert reordered(batch, places) is batch
    assert torch.equal(torch.get_rng_state(), before)


def test_a_batch_without_rows():
    assert reordered(Batch.from_lists([]), 2.0).tokens == 0


def test_a_ninth_of_the_events_moves_at_one_and_a_half():
    """Neighbours change places where 1.5 (u - u') > 1, one time in 18; an event has two neighbours."""
    torch.manual_seed(1)
    batch = Batch.from_lists([list(range(1, 20_001))])
    moved = (reordered(batch, 1.5).items_T != batch.items_T).float().mean().item()
    assert moved == pytest.approx(1 / 9, abs=0.01)


def test_a_step_is_the_same_for_the_same_seed_and_another_for_another():
    ranker = compose(RankerConfig(width=8), ItemInputs(items=400))
    objective = SequenceObjective(ranker, LossConfig(name="full_softmax"), 4096, reorder=3.0)

    def micro_batches(seed):
        torch.manual_seed(seed)
        return torch.cat([micro_batch.items_T for micro_batch in objective.micro_batches(histories())])

    assert torch.equal(micro_batches(1), micro_batches(1))
    assert not torch.equal(micro_batches(1), micro_batches(2))
