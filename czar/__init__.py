"""The query front end: parse -> analyse -> plan -> dispatch -> merge."""
