"""One thread a process: sums must not depend on the machine's cores."""

from __future__ import annotations

import contextlib
import os

import torch

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "BLIS_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}


def one_thread() -> None:
    """Run torch and the BLAS libraries of this process on one thread."""
    os.environ.update(ONE_THREAD)  # for libraries that are imported from now on
    torch.set_num_threads(1)
    with contextlib.suppress(ImportError):  # comes with scikit-learn
        import threadpoolctl

        threadpoolctl.threadpool_limits(1)
