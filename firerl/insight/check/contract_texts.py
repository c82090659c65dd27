"""Why each part of a learner's contract matters, and the usual mend."""

from __future__ import annotations

TEXTS = {  # check -> why it matters, the usual mend
    "calls": (
        "evolution builds and trains learners with any values of the space, and ranks them by their objective",
        "return plain numbers; narrow the space to values that the learner takes",
    ),
    "state": (
        "exploit copies states and a resume reads them back, from files that never run code",
        "put tensors, numpy arrays, numbers and strings into dicts and lists (copy.deepcopy(optimizer.state_dict()), "
        "the same of networks, rng.bit_generator.state, generator.get_state()), all of them in both state() and "
        "load(), which copies what it is given: optimizer.load_state_dict(copy.deepcopy(weights['optimizer']))",
    ),
    "continuation": (
        "a run that was killed goes on in the middle of an episode, and workers move to the process that is free",
        "let an episode depend on its seed and its actions alone: draw from self.np_random, begin all of it anew in "
        "reset(); or let the environment bring back what lasts longer by get_state() and set_state(state), plain data",
    ),
    "same seed": (
        "a run is a function of its settings and its seed, with any number of processes and after any crash",
        "draw every random number from generators that the learner makes from its seed, np.random.default_rng(seed) or "
        "torch.Generator().manual_seed(seed); take no times, no ids, no order of a set",
    ),
    "split": (
        "evolution cuts the training wherever an evaluation falls, and a result must not depend on where",
        "start nothing anew at the begin of train(): data order, counters and generators go on from the last call; "
        "if the learner works in blocks, say so with granularity",
    ),
    "resume": (
        "a run that was killed goes on from its files, and a copied network from its donor's",
        "put what is missing into state() and load(): the optimiser, schedules, normalisers and counters into the "
        "weights, as copy.deepcopy(optimizer.state_dict()); generators, data order and environment states into the "
        "stream, as rng.bit_generator.state or generator.get_state()",
    ),
    "processes": (
        "a run has the same result with any number of processes, and its workers move to the one that is free",
        "let nothing depend on the process: no hash() of a text, no os.getpid(), no order of files or of a set, "
        "nothing kept in a module; what state() returns must hold all that load() needs elsewhere",
    ),
    "evaluate": (
        "how often a worker is evaluated must not change what it learns: curves would not be comparable",
        "draw from a generator of evaluate's own, made from its seed, np.random.default_rng(seed); put the network "
        "back into training mode, model.train() at the begin of train(); use other environments than training",
    ),
    "weights": (
        "exploit copies the weights half alone: the loser must go on as the winner would",
        "let load(weights=...) set everything that training builds up, the optimiser too, with stream=None as well: "
        "optimizer.load_state_dict(copy.deepcopy(weights['optimizer']))",
    ),
    "hyperparameters": (
        "evolution changes values while the network trains: that is all its power",
        "change the optimiser's groups (for group in optimizer.param_groups: group['lr'] = values['lr']) or plain "
        "attributes that train() reads; build nothing anew",
    ),
    "NaN": (
        "a diverged network that hides it keeps its place, and others copy it",
        "return float('nan') from evaluate() where the loss or the weights are not finite; replace no NaN by numbers",
    ),
}
RAISED = "mend what raises; a run would count it as this learner's failure"
LEANS = (
    "; it draws from global generators ({}): a run keeps them for each worker, but not what threads draw, nor those of "
    "other libraries"
)
ALIKE = "; another seed gives the same, too"
SHARED = (
    "keep nothing that changes in the class or in its module, and seed no global generator: another learner moves it"
)
IDLE = (
    "let train() read {0} as set_hyperparameters() left it, not as the constructor did (self.{0} = values['{0}'], or "
    "the optimiser's groups)"
)
UNSEEN = (
    "; no effect was seen of {0}, neither set nor built in: if it acts later, eval_interval=<more> looks farther; if "
    "it never does, take it out of the space"
)
