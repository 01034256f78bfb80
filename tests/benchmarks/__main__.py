"""All benchmarks: ``uv run --group benchmark python tests/benchmarks``; nothing else may run meanwhile."""

import limiter
import sync
import waiting
import writers

if __name__ == "__main__":
    limiter.main()
    writers.main()
    sync.main()
    waiting.main()
