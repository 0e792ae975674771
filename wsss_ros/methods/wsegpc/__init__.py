"""WSegPC (Duan et al., High-quality Pseudo-labeling for Point Cloud Segmentation with Scene-level Annotation).

Stage one (``stage_one.Wsegpc``) trains both networks from tags of scenes: classification, guidance of each network by
the other one, and consistency of points with their regions. Stage two (``stage_two.WsegpcLabels``) trains networks from
the pseudo-labels that stage one gives. Equation, table and section numbers are those of that paper.
"""
