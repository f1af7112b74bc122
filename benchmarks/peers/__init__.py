"""What else from PyPI serves SCIM? Each peer by a module that fills it with users and serves it."""
