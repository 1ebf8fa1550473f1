"""What a list of shots says, and how a folder or an exposure sheet becomes one."""
