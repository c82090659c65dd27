"""What shells ask: how a half-typed line may go on."""
