"""Analysed query -> plan: the chunk query, the chunks, how their answers become one."""
