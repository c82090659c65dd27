"""What on-policy agents share. Read ``settings``, ``networks``, ``rollout``, ``learner``: no algorithm is in them."""
