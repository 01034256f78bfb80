"""All benchmarks: ``uv run python tests/benchmarks``, on a machine that does nothing else."""

import limiter
import waiting
import writers

if __name__ == "__main__":
    limiter.main()
    writers.main()
    waiting.main()
