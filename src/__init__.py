"""Training recurrent networks on long memory: populations of replicas, and how often they succeed."""

import os

# A replica must compute the same bits alone as beside others, on one thread or many (law 1). MKL promises this for
# matrix products only in its strict reproducible mode, which must be asked for before its first use; it cost nothing
# measurable. "AUTO" takes the best instructions of this machine.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
