"""What on-policy agents share: acting, episodes, networks, normalisers, returns, settings. No algorithm.

An algorithm is its settings (a subclass of ``settings.Settings``), an ``update.Update`` with its losses and a
``learner.ActorCritic`` that names both.
"""
