"""`wsss segment`, `fuse` and `select`: what they label, how they label, and the files that they write."""
