"""Where learners run: in this process (inline), in processes of this machine (local), on a cluster (ray)."""
