"""What all HTTP services of a cluster share: the token, and how errors travel."""
