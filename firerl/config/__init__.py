"""The typed settings of a run, and how they are read: from the command line, from Hydra, from files not trusted."""
