"""A page that shows what the views of a period tell (R12): one file, plots and all, that opens with no network."""
