"""What components promise each other: protocols and frozen records, no behaviour, no torch."""
