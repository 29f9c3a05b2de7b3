"""``python -m benchmarks`` is `benchmarks.bench_runs`."""

from benchmarks.bench_runs import main

if __name__ == "__main__":
    main()
