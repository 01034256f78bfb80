"""All benchmarks: ``uv run python tests/benchmarks``, on a machine that does nothing else."""

import limiter
import sync
import writers

if __name__ == "__main__":
    limiter.main()
    writers.main()
    sync.main()
