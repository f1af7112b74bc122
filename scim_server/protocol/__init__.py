"""What does SCIM say? RFC 7643 and RFC 7644 as pure functions over documents."""
