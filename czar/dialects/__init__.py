"""The languages that queries are written in: what each reads, and how it becomes the one tree that `czar.analyse` knows. Pure."""
