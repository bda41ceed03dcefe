"""The API of a czar: queries that are waited for, queries that run on their own, what runs now; and its client."""
