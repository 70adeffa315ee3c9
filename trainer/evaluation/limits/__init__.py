"""What a challenger may not do, whatever its average: each limit is one small pure function of both models' answers."""
