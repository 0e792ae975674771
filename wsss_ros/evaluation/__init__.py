"""Evaluation: confusion matrices, scores of files, of recordings and of running nodes, tables and pictures."""
