"""What each file of a bundle costs on the machine at hand, and which of them to ship."""
