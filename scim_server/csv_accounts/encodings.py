"""Which encodings may a CSV file have?"""

UTF_8, CP932 = "utf-8", "cp932"
ENCODINGS = (UTF_8, CP932)
BOM = b"\xef\xbb\xbf"
