"""V-MPO (Song et al. 2019) for continuous and discrete actions."""

from firerl.agents.vmpo.learner import VMPO

__all__ = ["VMPO"]
