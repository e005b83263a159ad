"""Reports of views: rollups, counts and the HTML report (R12)."""
