"""Experiments: rows that are trained on the same scenes with the same networks, and compared.

``settings`` and ``rows`` describe the ablation of the joint paper's Tables 2 and 4. ``methods_settings`` describes a
comparison of several methods. ``experiment`` is what both have in common: ``one_run`` trains and scores one run,
``schedule`` does so with all of them in processes of their own. ``results`` and ``methods_results`` compare the scores;
reports and figures show them.
"""
