"""`make bench`: what this machine does, end to end and each service alone."""
