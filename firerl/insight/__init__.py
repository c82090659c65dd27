"""What a run did and will do, told from its journal and from its settings: history, verdicts, costs, odds."""
