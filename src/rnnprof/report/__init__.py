"""Records to text, JSON and figures; the only room that imports matplotlib."""
