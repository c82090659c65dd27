"""The settings: Hydra groups env, algo, learner, engine and preset."""
