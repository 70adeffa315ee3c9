"""What each stage passes on, beside its tables: one frozen model a stage, in the order in which they run."""
