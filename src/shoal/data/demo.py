"""The data that ships with the package: ml-latest-small, 100,836 ratings of films by 610 people [1]_.

References
----------
.. [1] F. M. Harper and J. A. Konstan (2015). The MovieLens datasets: history and context. ACM Transactions on
   Interactive Intelligent Systems 5 (4), article 19.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from shoal.data.dataset import Dataset
from shoal.data.read import read


def demo_data() -> Dataset:
    """Return ml-latest-small: ratings from 0.5 to 5 with times, and films with title and genres.

    The tags that people gave to films are left out. They carry times of their own, and a film's text that holds a tag
    from after a cut-off would leak; a tag may only be used with its time. Its licence stands in README.txt beside the
    files: research, not for profit, cite the paper above.
    """
    with as_file(files("shoal.data") / "embedded" / "ml-latest-small") as folder:
        return read(folder, preset="ml-latest", name="ml-latest-small")
