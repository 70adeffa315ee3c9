"""What fine-tunes forget: the night's models on rows of long ago, beside those of the day."""
