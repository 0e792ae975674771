"""`wsss segment`: what it labels, how it labels, and the files that it writes."""
