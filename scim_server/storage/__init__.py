"""How are resources kept and found? Rows, keys and SQL; nothing of HTTP, nothing of what a User means."""
