"""What goes in and comes out over HTTP: requests, answers and presenters, one file a resource."""
