"""What the pages of the book compute: a folder for each, in the order of its argument."""
