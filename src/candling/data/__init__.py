"""What lies on disk: samples and the data-set doctor."""
