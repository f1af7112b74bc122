"""Which models does django-scim2 serve? Those that its documentation tells to make."""
