"""How does it look on the wire? Flask views and what surrounds them."""
