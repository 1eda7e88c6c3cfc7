"""Media that simulated vendors take and make, and the object store that serves them."""
