"""What does a made-up company look like, and how does it get into the database?"""
