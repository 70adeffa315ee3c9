"""Fake tensors and deferred initialisation: nothing is held, everything is counted, and what is materialised is what would have
been made at once."""

import torch
from torch import nn

from nightrank.ranker.compose import compose, compose_empty, materialise
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.distx.deferred import deferred_init, materialize
from nightrank.trainer.distx.fake import counted, fake_tensors

CONFIG = RankerConfig(width=16)


def test_a_materialised_ranker_is_the_one_that_is_made_at_once():
    inputs = ItemInputs(50)
    deferred = deferred_init(lambda: compose_empty(CONFIG, inputs.shapes))

    def fill(ranker):
        materialise(ranker, inputs).init_weights(torch.Generator().manual_seed(4))

    made, at_once = materialize(deferred, "cpu", fill).state_dict(), compose(CONFIG, inputs, 4).state_dict()
    assert made.keys() == at_once.keys()
    assert all(torch.equal(made[name], at_once[name]) for name in made)


def test_a_shared_parameter_stays_shared():
    def build():
        net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        net[1].weight = net[0].weight
        return net

    net = materialize(deferred_init(build), "cpu", lambda net: [nn.init.ones_(p) for p in net.parameters()])
    assert net[1].weight is net[0].weight
    assert net(torch.ones(1, 3)).tolist() == [[13.0, 13.0, 13.0]]


def test_a_table_of_a_tebibyte_is_counted_and_not_held():
    with counted() as live:
        table = deferred_init(lambda: nn.Embedding(2**32, 64))
        held = live.now
        rows = table(torch.tensor([1, 2, 3]))
        assert (held, live.now) == (2**40, 2**40 + 3 * 64 * 4)
        del rows
        assert live.now == 2**40 and live.peak > 2**40
        live.restart()
        assert live.peak == live.now
    assert table.weight.shape == (2**32, 64)


def test_ids_stay_real_where_weights_are_fake():
    with fake_tensors():
        weight = torch.empty(10, 4)
    ids = torch.tensor([5, 5, 7])
    distinct, place = torch.unique(ids, return_inverse=True)
    assert distinct.tolist() == [5, 7]
    assert weight.index_select(0, distinct)[place].shape == (3, 4)
