"""How long the mutual ranks of 6,000 records take: run with ``python benchmarks/record_clusters.py``.

Two threads, 784 features, in a process of its own, whose largest memory is taken. The limits are 10 s and 1 GB; the
exit status is 1 if one is broken. What the clusters of 200 of them take beside it is shown as well.
"""

import os
import resource
import sys
import time

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "2")

import numpy as np

from metrics.record_clustering.clusters import record_clusters
from metrics.record_clustering.mutual_rank import mutual_rank

RECORDS, FEATURES, CHOSEN = 6000, 784, 200
LIMIT_S, LIMIT_GB = 10.0, 1.0


def main() -> int:
    records = np.random.default_rng(0).standard_normal((RECORDS, FEATURES), dtype=np.float32)
    began = time.perf_counter()
    mutual_rank(records)
    took = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    print(
        f"mutual ranks of {RECORDS} records: {took:.1f} s (limit {LIMIT_S:.0f}), {memory:.2f} GB (limit {LIMIT_GB:.0f})"
    )
    began = time.perf_counter()
    found = record_clusters(records, np.arange(CHOSEN))
    print(f"clusters of {CHOSEN} of them: {time.perf_counter() - began:.1f} s, {found.number} found where there is one")
    return int(took > LIMIT_S or memory > LIMIT_GB)


if __name__ == "__main__":
    sys.exit(main())
