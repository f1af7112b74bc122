"""What is special about a User, a Group, a Service? The operations on resources, whatever door they come through."""
