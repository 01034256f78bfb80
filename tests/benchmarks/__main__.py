"""All benchmarks: ``uv run --group benchmark python tests/benchmarks``, on a machine that does nothing else."""

import limiter
import sync
import waiting
import writers

if __name__ == "__main__":
    limiter.main()
    writers.main()
    sync.main()
    waiting.main()
