"""Files of many rows: records of CSV or NDJSON, checked one by one as a POST checks its body."""
