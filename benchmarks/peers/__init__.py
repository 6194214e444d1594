"""Peers: other people's recommenders, and ours, each in a process of its own that is shown the task and never the test.

    task      a folder of tables: what may be learnt from, whose lists or which ratings are asked
    worker    one contestant: tries settings on the inner task, fits the best one, answers, says time and memory
    simple    popularity and item-to-item models
    factors   implicit, LensKit and RecTools behind the same face
    cold      texts for items that nobody has used
    rating    Surprise, Cornac and myFM
    ours      Shoal, with usual, quick or full effort

Nothing here imports shoal but `ours`, so that peers run in environments of their own (requirements*.txt).
"""
