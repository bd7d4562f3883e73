"""Who `make bench-ingest` compares this streamer with; each a process of its own that counts what it did."""
