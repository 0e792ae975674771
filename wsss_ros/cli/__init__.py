"""The command ``wsss``: each subcommand is a file that converts its options, makes one call, and prints."""
