"""Released lists as people and other programs take them: traced, exported."""
