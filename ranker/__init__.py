"""What is learnt: items, users, losses, metrics and the bundle. Pure torch; importing this package loads nothing."""
