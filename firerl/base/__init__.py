"""What every room stands on: how a setting is declared, paths, the terminal, seeds, cores, the clock."""
