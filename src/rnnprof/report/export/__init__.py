"""CSV, Parquet and JSON."""
