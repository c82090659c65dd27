"""MF-PBT: sub-populations that evolve at different frequencies and migrate (Doulazmi et al. 2025, arXiv 2506.03225).

Fast sub-populations are greedy, slow ones keep what pays in the long run. Sub-population P(i) evolves every delta_i
readies and is ranked by the objective, as all are: no evaluators. Its members form brackets: the top k copy nobody and
are copied by the k losers, as in PBT; the k just above the losers are open for migration. A better member from outside
(the paper's Algorithm 2, best against best) gives an open one its weights, and its hyperparameters only if its own
sub-population is slower: greedy hyperparameters never reach a slower sub-population, where the migrant gets those of
its best member. Migrants do not explore.

Ours, where the paper leaves it open: its quarters are ``truncation`` = 25 %, so that sizes need not divide by four; a
member that copies at this very ready is no migrant; a failed member copies a winner at the next ready, whatever its
sub-population's frequency. The paper's frequencies 1, 10, 25, 50 are for 1,000 readies; runs here have 10 to 60, so the
default's slowest evolves at every eighth. The result is the best member of all sub-populations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from firerl.base.settings import setting, show
from firerl.errors import SettingError
from firerl.evolution.exploit import ExploitSettings, check_sizes, copies, objective_fitness, ranking, selected
from firerl.evolution.population import Copy, Decision, Report, Setup, State, Worker
from firerl.evolution.steps import apply, take_reports


@dataclass(frozen=True)
class Settings(ExploitSettings):
    """MF-PBT's settings; the explore factors are those of its paper."""

    explore_factors: tuple[float, ...] = setting(
        (0.8, 1.25), "explore multiplies a value by one of these factors", above=0, shortest=1
    )
    frequencies: tuple[int, ...] = setting(
        (1, 2, 4, 8),
        "how often P1, P2, ... evolve, in rising numbers",
        "readies between two evolutions",
        minimum=1,
        shortest=1,
    )
    migration: bool = setting(True, "members migrate between sub-populations; false: none does")


def arrange(sizes: tuple[int, ...], evaluators: int) -> tuple[tuple[int, ...], int]:
    """Several sizes without evaluators as they are given; any other budget spread over four sub-populations, as in the
    paper, or over fewer where that leaves less than four members to each."""
    if len(sizes) > 1 and not evaluators:
        return sizes, 0
    workers = sum(sizes) + evaluators
    groups = max(1, min(4, workers // 4))
    return tuple(workers // groups + (i < workers % groups) for i in range(groups)), 0


def validate(setup: Setup, settings: Settings) -> None:
    """Raise SettingError where the frequencies do not fit the sub-populations."""
    check_sizes(setup)
    frequencies = settings.frequencies
    if len(frequencies) < len(setup.sizes) or list(frequencies) != sorted(set(frequencies)):
        raise SettingError(
            f"algo.frequencies={show(frequencies)}: must be rising numbers, one for each of the "
            f"{len(setup.sizes)} sub-populations"
        )
    for size in setup.sizes if settings.migration else ():
        if size <= 2 * selected(settings.truncation, size):
            raise SettingError(
                f"algo.truncation={settings.truncation}: a sub-population of {size} has winners and losers only, "
                "nobody is left to migrate; give larger population.sizes, or algo.migration=false"
            )


def decide(setup: Setup, settings: Settings, state: State, reports: Sequence[Report]) -> tuple[State, list[Decision]]:
    """One evaluation point: reports and failures, then evolution, then migration."""
    moment, decisions = take_reports(setup, state, reports)
    before = tuple(moment.workers.values())  # as they are before this ready
    evolving = set()
    for old in state.workers:
        period = settings.frequencies[old.population - 1] * setup.ready_interval
        if old.id in moment.ready and moment.workers[old.id].step // period > old.ready_step // period:
            evolving.add(old.id)
    fitness = {w.id: objective_fitness(w, settings.fitness_window) for w in before}
    populations = range(1, len(setup.sizes) + 1) if moment.ready else ()
    for population in populations:
        made = copies(
            setup, settings, moment.workers, population, fitness, evolving, set(), moment.replaced, moment.step
        )
        decisions += apply(moment, made)
    for population in populations if settings.migration else ():
        made = _migrations(setup, settings, before, population, fitness, evolving, moment.replaced)
        decisions += apply(moment, made)
    return moment.state(), decisions


def _migrations(
    setup: Setup,
    settings: Settings,
    workers: Sequence[Worker],
    population: int,
    fitness: Mapping[int, float | None],
    evolving: set[int],
    replaced: set[int],
) -> list[Copy]:
    """Who of P(population) takes over a better member's weights from outside (Algorithm 2); ``workers`` as they were
    before this ready."""
    inside = ranking(setup, [w for w in workers if w.population == population], fitness)
    outside = ranking(setup, [w for w in workers if w.population != population and w.id not in replaced], fitness)
    k = selected(settings.truncation, setup.sizes[population - 1])
    migrations = []
    for worker in inside[max(k, len(inside) - 2 * k) : -k]:
        mine, other = fitness[worker.id], fitness[outside[0].id] if outside else None
        old_enough = worker.step - worker.replaced_step >= settings.min_steps_before_ready
        if worker.id in evolving and old_enough and mine is not None and other is not None and mine < other:
            donor = outside.pop(0)
            values = (donor if donor.population > population else inside[0]).hyperparameters
            migrations.append(
                Copy(
                    worker=worker.id,
                    donor=donor.id,
                    step=worker.step,
                    network_step=donor.network_step,
                    donor_hyperparameters=donor.hyperparameters,
                    hyperparameters=values,
                    fitness=mine,
                    donor_fitness=other,
                )
            )
    return migrations
