"""Training methods. A phase of training is a Method; siblings share only the seam in ``method.py``."""
