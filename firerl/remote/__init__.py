"""A run folder that is kept at an address, on S3 and the like."""
