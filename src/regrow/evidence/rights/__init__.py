"""What texts say about who may use them, beside what their sources declare."""
