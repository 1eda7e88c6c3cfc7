"""What the gateway costs, measured on one machine beside others: `make bench`, see docs."""
