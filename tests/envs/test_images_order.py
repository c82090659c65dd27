"""The order of images: a function of seed and position, each image once an epoch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from firerl.envs.images import Order
from firerl.envs.images.split import stratified


@given(st.integers(1, 30), st.integers(0, 2**32 - 1), st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_any_cut_of_the_order_is_the_same_order(count: int, seed: int, lengths: list[int]) -> None:
    whole = Order(count, seed).indices(0, sum(lengths))
    pieces, one, position = [], Order(count, seed), 0
    for length in lengths:
        pieces.append(one.indices(position, length))
        position += length
    assert np.concatenate(pieces).tolist() == whole.tolist()
    assert Order(count, seed).indices(position - 1, 1)[0] == whole[-1]  # in the middle, without what came before


@given(st.integers(1, 50), st.integers(0, 100))
def test_an_epoch_holds_each_image_once(count: int, seed: int) -> None:
    two = Order(count, seed).indices(0, 2 * count)
    assert sorted(two[:count]) == sorted(two[count:]) == list(range(count))


def test_epochs_and_seeds_differ() -> None:
    two = Order(100, 0).indices(0, 200)
    assert two[:100].tolist() != two[100:].tolist()
    assert two[:100].tolist() != Order(100, 1).indices(0, 100).tolist()


def test_draws_are_uniform_and_of_their_own_position() -> None:
    order = Order(100, 3)
    first = order.draws(0, 500, 2)
    assert first.shape == (500, 2)
    assert 0 <= first.min() < 0.02
    assert 0.98 < first.max() < 1
    assert abs(first.mean() - 0.5) < 0.05
    assert (first == order.draws(0, 500, 2)).all()
    assert (first != order.draws(500, 500, 2)).all()
    assert (first != Order(100, 4).draws(0, 500, 2)).all()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(0, 5), st.data())
def test_a_stratified_half_has_every_class_by_its_share(sizes: list[int], seed: int, data: st.DataObject) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    count = data.draw(st.integers(1, len(labels)))
    chosen = stratified(labels, count, seed)
    assert len(set(chosen.tolist())) == len(chosen) == count
    assert chosen.tolist() == sorted(chosen) == stratified(labels, count, seed).tolist()
    shares = np.bincount(labels[chosen], minlength=len(sizes)) - np.array(sizes) * count / len(labels)
    assert (abs(shares) < 1).all()
