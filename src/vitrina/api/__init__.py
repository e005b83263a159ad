"""HTTP: the only room that speaks it. A route is declared once; what validates it also documents it."""
