"""The ablation of the paper's Tables 2 and 4.

``rows`` describes what is trained, ``one_run`` trains and scores one run, ``schedule`` does so with all of them in
processes of their own. ``results`` compares the scores, ``report`` and ``figures`` show them.
"""
