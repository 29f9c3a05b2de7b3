"""What only a manager needs: the command line."""
