"""How do accounts come from a CSV file and go into one? The file that administrators edit in Excel."""
