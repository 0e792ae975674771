"""Densify (Xia et al., Densify Your Labels: Unsupervised Clustering with Bipartite Matching).

Primitives are clusters of superpoints over all scenes of a training set, found without any label. A matching with the
tags of each scene gives some of them a class. Equation, table and section numbers are those of that paper; what it
leaves open is as in GrowSP (Zhang et al. 2023), whose superpoints and features it uses.
"""

from wsss_ros.methods.densify.matching import match, primitive_loss

__all__ = ["match", "primitive_loss"]
