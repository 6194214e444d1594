"""Lists for everybody: how many users a second a kept run recommends for.

    shoal fit ../shared/data/ml-1m runs/ml-1m
    python benchmarks/lists.py runs/ml-1m --threads 2

The first call is told apart: what is made when it is first needed, such as the map from text to scores, is made in it.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--n", type=int, default=10, help="length of a list")
    parser.add_argument("--times", type=int, default=3, help="calls after the first")
    options = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"):
        os.environ[name] = str(options.threads)

    import torch  # reads the environment when it is imported

    import shoal

    torch.set_num_threads(options.threads)
    run = shoal.load(options.run)
    seconds, busy = [], []
    for _ in range(1 + options.times):
        began, used = time.perf_counter(), time.process_time()
        users = run.recommend(n=options.n)["user_id"].n_unique()
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - used)
    usual = statistics.median(seconds[1:])
    print(f"{users:,} users, lists of {options.n}, {options.threads} threads, load {os.getloadavg()[0]:.1f}")
    print(f"first call  {seconds[0]:.2f} s, {users / seconds[0]:,.0f} users/s")
    print(f"after it    {usual:.2f} s, {users / usual:,.0f} users/s, median of {options.times}")
    print(f"processor   {statistics.median(busy[1:]):.2f} s a call")
    print(f"peak        {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
