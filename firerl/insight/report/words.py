"""What the report says of a run, in sentences; every number in them is the run's own. Plain text, not HTML."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from firerl.config.run_config import window_of
from firerl.insight.history.history import PROMOTION, RUNNING, Leg, Measurement, Stretch
from firerl.insight.report.lines import METRICS, bundle, medians, metric_names, stitched
from firerl.insight.report.run import EVALUATOR, Run, group_of
from firerl.summary import figure_names
from firerl.summary.in_words import duration_text, objective_text, value_text
from firerl.summary.tally import is_number

ALGORITHMS = {
    "fire": "FIRE PBT", "fire_lean": "FIRE PBT, lean", "pbt": "PBT", "pb2": "PB2", "mfpbt": "MF-PBT",
    "random": "random search", "constant": "constant hyperparameters", "cosine": "cosine schedule",
    "retrace": "a schedule replayed",
}  # fmt: skip
SETTINGS = "All that the run was given, by name; what nobody asked for has its default here."
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def algorithm(run: Run) -> str:
    """The algorithm's name as papers write it, or its own."""
    return ALGORITHMS.get(run.config.algo.name, run.config.algo.name)


def state(run: Run) -> str:
    """How far the run has come."""
    done, whole = f"{run.history.step:,}", f"{run.config.steps:,}"
    if run.history.died:
        return f"ended: {'P1' if EVALUATOR in run.groups else 'the population'} died at step {done}"
    if run.result is None:
        return f"unfinished: step {done} of {whole}" if run.history.points else "unfinished: no generation yet"
    stopped = run.result["stopped"]
    return f"finished at step {done}" + ("" if stopped == "steps" else f", ended by {stopped}")


def summary(run: Run) -> list[str]:
    """The run in a few sentences."""
    sentences = [_start(run)]
    if run.leader is None:
        return [*sentences, "No member of P1 is healthy."]
    if run.leader.objective is None:
        return [*sentences, "No member has an objective yet."]
    verb = "won" if run.finished else "is ahead"
    ranked = f"its {figure_names.ranked_by(window_of(run.config))} is {objective_text(run.leader.objective)}"
    sentences.append(f"Member {run.leader.worker} {verb}: {ranked}.")
    return [*sentences, *([_evolution(run)] if run.tally.copies + run.tally.starts else [])]


@dataclass(frozen=True)
class Worth:
    """The number at the head of the page: what it is, and what it says and does not say."""

    value: str
    name: str
    spread: str  # standard deviation over the episodes; "": unknown
    words: Sequence[str]


def worth(run: Run) -> Worth:
    """What the winner does on data that the search did not see; without such figures what it is ranked by."""
    fresh, plays = (run.result or {}).get("fresh"), bool(run.config.settings.get("env"))
    who = "nobody" if run.leader is None else f"member {run.leader.worker}"
    found = figure_names.headline(fresh, plays)
    if found is None or not isinstance(fresh, Mapping):
        value = "-" if run.leader is None else objective_text(run.leader.objective)
        why = ("its learner has no figures on fresh data" if run.finished
               else f"the winner meets fresh {'episodes' if plays else 'data'} when the run ends")  # fmt: skip
        text = f"Of the {run.best}, {who}: {why}. The search chose by this number, so it flatters."
        return Worth(value, f"objective, {ranked(run)}", "", [text])
    first = next(name for name, value in fresh.items() if is_number(value))
    beside = [name for name in fresh if name.endswith("_std") and name.removesuffix("_std") in fresh]
    episodes = fresh.get("episodes") if plays else None
    over = f"the mean over {episodes:,.0f} episodes" if is_number(episodes) else "on data"
    spread = objective_text(fresh[f"{first}_std"]) if f"{first}_std" in fresh else ""
    deviation = "; ± is the standard deviation" if spread else ""
    lines = [f"Of the winner, {who}: {over} that the search did not see{deviation}."]
    shown = {first, *beside, *(["episodes"] if is_number(episodes) else [])}
    more = ", ".join(_fresh_figure(fresh, name) for name in fresh if name not in shown)
    return Worth(objective_text(found[1]), found[0], spread, [*lines, *([f"Also: {more}."] if more else [])])


def _fresh_figure(fresh: Mapping[str, Any], name: str) -> str:
    spread = f" ± {objective_text(fresh[f'{name}_std'])}" if f"{name}_std" in fresh else ""
    return f"{name.replace('_', ' ')} {objective_text(fresh[name])}{spread}"


def ranked(run: Run) -> str:
    """What members are ranked by, and of what kind the evaluations are."""
    return f"{figure_names.ranked_by(window_of(run.config))} ({figure_names.evaluation(run.config.settings)})"


def figures(run: Run) -> list[tuple[str, str, str]]:
    """(value, what it is, a word on it) of the figures at the head of the page."""
    workers = len(run.workers)
    best = "-" if run.leader is None else objective_text(run.leader.objective)
    name = f"{figure_names.ranked_by(window_of(run.config))}, the {run.best}'s"
    word = f"objective: {figure_names.evaluation(run.config.settings)}; members are ranked by it"
    fresh = figure_names.headline((run.result or {}).get("fresh"), plays=False)
    rows = [
        *([(best, name, word)] if fresh else []),  # else it stands above
        (f"{run.history.step:,}", "steps per worker", f"{workers} workers, {_trained(run):,} in all"),
        (duration_text(run.seconds), "training time", "h:mm:ss" if run.seconds >= 3600 else "m:ss"),
    ]
    if run.tally.copies or run.config.algo.name not in ("random", "constant", "cosine", "retrace"):
        rows.append((f"{run.tally.copies:,}", "copies", "losers that took a winner's weights"))
    if EVALUATOR in run.groups:
        share = f"of {run.tally.starts:,} evaluations"
        rows.append((f"{run.tally.successes:,}", "promotion" if run.tally.successes == 1 else "promotions", share))
    return rows


def objectives(run: Run) -> str:
    """What the objective curves show."""
    parts = []
    for group, ids in run.groups.items():
        median = [] if group == EVALUATOR else medians(run, ids)
        if len(median) > 1:
            first, last = (objective_text(median[i][1]) for i in (0, -1))
            parts.append(f"the median evaluation of {group} went from {first} to {last}")
    if not parts:
        return "No curve has two points yet."
    text = "; ".join(parts)
    text = f"{text[0].upper()}{text[1:]}"
    best = max((y, s.worker, x) for own in run.history.stretches.values() for s in own
               for x, y in zip(s.steps, s.objectives, strict=True))  # fmt: skip
    kind = f"Each point is one evaluation ({figure_names.evaluation(run.config.settings)})."
    return (f"{kind} {text}. The {figure_names.HIGHEST} of all, {objective_text(best[0])}, "
            f"was {_name(run, best[1])}'s at step {best[2]:,}.")  # fmt: skip


def winner(run: Run) -> str:
    """Through whose hands the winner's network went."""
    legs = run.winner_path
    if run.leader is None or not legs:
        return "There is no path to show yet."
    curve = stitched(run)
    worker, passed = run.leader.worker, len(legs) - 1
    if passed == 0:
        text = f"Member {worker} has trained its network by itself from the first step"
    else:
        kinds = Counter(leg.stretch.origin for leg in legs[1:])
        words = {"copy": "copies", "evaluator": "evaluators", PROMOTION: "promotions"}
        hands = ", ".join(_count(kinds[kind], kind, many) for kind, many in words.items() if kinds[kind])
        first = _name(run, legs[0].stretch.worker)
        text = f"The network that member {worker} holds began with {first} and changed hands {_times(passed)} ({hands})"
    if len(curve) > 1:
        text += f"; along this path single evaluations went from {_objective(curve[0])} to {_objective(curve[-1])}"
    return text + "."


def hyperparameter(run: Run, name: str) -> str:
    """Where the members of P1 began and where they are, and the winner's last value."""
    group = next(iter(run.groups))
    first = [run.workers[i].hyperparameters.get(name) for i in run.groups[group]]
    now = [_last(run.history.stretches[i][-1], run.history.steps[i], name) for i in run.groups[group]]
    text = f"{group}: {_middle(first)} → {_middle(now)}"
    if run.winner_path:
        part = run.winner_path[-1]
        text += f", {run.best} {value_text(_last(part.stretch, part.end, name))}"
    return text


def hyperparameters(run: Run) -> str:
    """How to read the small figures."""
    count, group = len(run.config.space), next(iter(run.groups))
    lead = "One hyperparameter is" if count == 1 else f"{_word(count).capitalize()} hyperparameters are"
    return (f"{lead} tuned, {'' if count == 1 else 'each '}on its own scale; beside the name the median of {group} at "
            f"the start and {'at the end' if run.finished else 'now'}, and the {run.best}'s last value.")  # fmt: skip


def metric(run: Run, name: str) -> str:
    """A metric's median over P1 at its first and its last report."""
    group = next(iter(run.groups))
    told = [[metrics[name] for stretch in run.history.stretches[i] for _, metrics in stretch.metrics if name in metrics]
            for i in run.groups[group]]  # fmt: skip
    return f"{group}: {_middle([v[0] for v in told if v])} → {_middle([v[-1] for v in told if v])}"


def metrics(run: Run) -> str:
    """Whose numbers these are, and what of them is shown."""
    count, every = len(metric_names(run)), bundle(run)
    text = "What train() returned: of the steps since the evaluation before, so of training and not of fresh data"
    if every > 1:
        text += f"; a point is the mean of {every} in a row"
    if count > METRICS:
        text += f"; {METRICS} of {count:,}, the others are in python -m firerl.journal"
    return f"{text}. Beside the name the median of {next(iter(run.groups))}, first → last."


def lineage(run: Run) -> str:
    """How many first draws have descendants in P1, and how weights moved."""
    group = next(iter(run.groups))
    paths = [run.history.ancestry(i) for i in run.groups[group]]
    founders = sorted({path[0].stretch.worker for path in paths if path})
    if not founders:
        return "Nobody has trained yet."
    if run.tally.copies + run.tally.successes == 0:
        return "No weights have moved: every worker still trains the network that it began with."
    drawn = sum(not worker.is_evaluator for worker in run.workers)
    names = f" (members {_list(founders)})" if 1 < len(founders) <= 8 else f" (member {founders[0]})"
    ending = "at the end" if run.finished else "now"
    some = f"{_word(len(founders))} of the {drawn} first networks{names if len(founders) <= 8 else ''}"
    text = f"The {len(paths)} networks of {group} {ending} descend from {some}"
    if EVALUATOR not in run.groups:
        return text + f", through {_count(run.tally.copies, 'copy', 'copies')} in all."
    promoted = [any(leg.stretch.origin == PROMOTION for leg in path) for path in paths]
    through = _word(sum(promoted)) if any(promoted) else "none"
    return text + f"; {through} of them passed through a promotion on the way."


def evaluators(run: Run) -> str:
    """What the evaluators found."""
    measured = run.history.measurements
    if not measured:
        return "No evaluation has started yet."
    outcomes = Counter(m.outcome for m in measured)
    ended = len(measured) - outcomes[RUNNING]
    text = f"{_count(len(measured), 'evaluation', 'evaluations')} started, {ended:,} ended: "
    text += _count(outcomes.pop(PROMOTION, 0), "promotion", "promotions")
    outcomes.pop(RUNNING, None)
    if outcomes:
        (reason, count), *_ = outcomes.most_common(1)
        text += f" and {_count(sum(outcomes.values()), 'stop', 'stops')}, most often “{reason}” ({count:,})"
    return f"{text[0].upper()}{text[1:]}. The label in a bar is the parent and the child."


def title(run: Run, worker: int) -> str:
    """A worker's name at the head of what is told of it."""
    group = group_of(run.workers[worker])
    return f"evaluator {worker}" if group == EVALUATOR else f"member {worker} of {group}"


def leg(run: Run, part: Leg) -> str:
    """One ancestor: when, who, and how it came to the network."""
    return f"{part.start:,} to {part.end:,}: {_name(run, part.stretch.worker)}, {origin(run, part.stretch)}"


def origin(run: Run, stretch: Stretch) -> str:
    """How a stretch began, as a clause."""
    if stretch.source is None:
        return "from the first draw"
    source = _name(run, stretch.source)
    texts = {"copy": f"copied from {source}", PROMOTION: f"promoted: took over the weights of {source}"}
    return texts.get(stretch.origin, f"evaluated the weights of {source}")


def measurement(m: Measurement) -> str:
    """One evaluation and its verdict."""
    span = f"{m.start:,} to {m.end:,}" if m.end is not None else f"since {m.start:,}"
    text = f"{span}: evaluator {m.evaluator} trained parent {m.parent}'s weights with child {m.child}'s hyperparameters"
    if m.outcome == RUNNING:
        return f"{text}; still running"
    ending = "promotion" if m.outcome == PROMOTION else f"stopped, {m.outcome}"
    if m.best_score_diff is None or m.p_value is None:
        return f"{text}: {ending}"
    points = f"{m.points} point{'' if m.points == 1 else 's'}"
    return f"{text}: {ending} (best score diff {objective_text(m.best_score_diff)}, p = {m.p_value:.2g}, {points})"


def _start(run: Run) -> str:
    groups = [f"{len(ids)} {'evaluators' if g == EVALUATOR else f'members in {g}'}" for g, ids in run.groups.items()]
    who = groups[0] if len(groups) == 1 else f"{', '.join(groups[:-1])} and {groups[-1]}"
    verb = "trained" if run.finished else "have trained"
    whole = "" if run.finished else f" of {run.config.steps:,}"
    return f"{who} {verb} {run.history.step:,}{whole} steps each."


def _evolution(run: Run) -> str:
    text = f"Evolution made {_count(run.tally.copies, 'copy', 'copies')}"
    if EVALUATOR in run.groups:
        text += f", and {_count(run.tally.successes, 'evaluation', 'evaluations')} of {run.tally.starts:,} "
        text += "ended in a promotion"
    return f"{text}."


def _trained(run: Run) -> int:
    """Steps of all workers."""
    return sum(len(point.reports) for point in run.history.points) * run.config.eval_interval


def _middle(values: Sequence[Any]) -> str:
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return value_text(statistics.median(known) if isinstance(known[0], float) else statistics.median_low(known))
    return str(Counter(map(str, known)).most_common(1)[0][0]) if known else "-"


def _last(stretch: Stretch, end: int, name: str) -> Any:
    """What it trained with last before ``end``; what it begins with where it has not trained."""
    trained = [values for start, values in stretch.settings if start < end]
    return (trained[-1] if trained else stretch.settings[-1][1]).get(name)


def _objective(point: tuple[float | None, Any]) -> str:
    return objective_text(point[1])


def _name(run: Run, worker: int) -> str:
    return f"{'evaluator' if group_of(run.workers[worker]) == EVALUATOR else 'member'} {worker}"


def _list(items: Sequence[int]) -> str:
    return f"{', '.join(map(str, items[:-1]))} and {items[-1]}"


def _word(number: int) -> str:
    return WORDS[number] if number < len(WORDS) else f"{number:,}"


def _times(number: int) -> str:
    return {1: "once", 2: "twice"}.get(number, f"{_word(number)} times")


def _count(number: int, one: str, many: str) -> str:
    return f"{_word(number)} {one if number == 1 else many}"
